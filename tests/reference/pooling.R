# Reference values for plresearch/pooling.py: metafor (REML, PM, DL, EE; z, knha, adhoc; Q-profile;
# prediction) and the Bayesian half-normal model by integrate(). Writes pooling.json beside this script.
suppressMessages({library(metafor); library(metadat); library(jsonlite)})
script <- sub("--file=", "", grep("--file=", commandArgs(FALSE), value = TRUE))

sets <- list()
add <- function(name, y, v) sets[[name]] <<- list(name = name, y = as.numeric(y), v = as.numeric(v))
take <- function(name, e) add(name, e$yi, e$vi)
take("dat.bcg", escalc(measure = "RR", ai = tpos, bi = tneg, ci = cpos, di = cneg, data = dat.bcg))
take("dat.colditz1994", escalc(measure = "RD", ai = tpos, bi = tneg, ci = cpos, di = cneg,
                               data = dat.colditz1994))
take("dat.raudenbush1985", dat.raudenbush1985)
take("dat.hackshaw1998", dat.hackshaw1998)
take("dat.konstantopoulos2011", dat.konstantopoulos2011)
take("dat.molloy2014", escalc(measure = "ZCOR", ri = ri, ni = ni, data = dat.molloy2014))
take("dat.normand1999", escalc(measure = "MD", m1i = m1i, sd1i = sd1i, n1i = n1i, m2i = m2i, sd2i = sd2i,
                               n2i = n2i, data = dat.normand1999))
take("dat.hine1989", escalc(measure = "RD", ai = ai, n1i = n1i, ci = ci, n2i = n2i, data = dat.hine1989))
add("rubin1981", c(28, 8, -3, 7, -1, 1, 18, 12), c(15, 10, 16, 11, 9, 11, 10, 18)^2)
set.seed(20240607)
for (k in 2:12) for (tau in c(0, 0.5)) {
  v <- round(1 / sample(4:16, k, replace = TRUE), 6)
  y <- round(rnorm(k, 0.4, sqrt(v + tau^2)), 6)
  add(sprintf("simulated k=%d tau=%g", k, tau), y, v)
}
add("homogeneous k=4", c(0.30, 0.31, 0.32, 0.31), c(0.10, 0.12, 0.09, 0.11))
add("precise k=3", c(0.30, 0.90, 1.70), c(1e-4, 2e-4, 1.5e-4))
add("unequal k=5", c(0.2, -0.4, 1.1, 0.5, 0.6), c(1e-3, 1, 0.05, 4, 0.2))

# the tightest threshold (relative to the sampling variances) at which metafor's iterations end
tightest <- function(s, method, test) {
  for (threshold in 10^-(15:9) * median(s$v)) {
    fit <- suppressWarnings(try(rma(yi = s$y, vi = s$v, method = method, test = test,
                                    control = list(threshold = threshold, maxiter = 10000, tau2.max = 1e5,
                                                   tol = 1e-13 * median(s$v))),
                                silent = TRUE))
    if (!inherits(fit, "try-error")) return(fit)
  }
  stop(paste(s$name, method, test, "does not converge"))
}
number <- function(x) unname(as.numeric(x))
cases <- list()
for (s in sets) for (method in c("REML", "PM", "DL", "EE")) {
  for (test in if (method == "EE") "z" else c("z", "knha", "adhoc")) {
    fit <- tightest(s, method, test)
    case <- list(set = s$name, method = method, test = test, estimate = number(fit$beta), se = number(fit$se),
                 low = fit$ci.lb, high = fit$ci.ub, p = fit$pval, tau2 = fit$tau2, Q = fit$QE, Q_p = fit$QEp,
                 I2 = fit$I2, H2 = fit$H2, weights = number(weights(fit)) / 100)
    if (method != "EE") {
      interval <- suppressWarnings(confint(fit, control = list(tol = 1e-13, maxiter = 1e5,
                                                              tau2.max = 1e5)))
      case$tau2_low <- interval$random["tau^2", "ci.lb"]
      case$tau2_high <- interval$random["tau^2", "ci.ub"]
      prediction <- predict(fit)
      case$prediction_low <- prediction$pi.lb
      case$prediction_high <- prediction$pi.ub
      half <- qt(0.975, max(length(s$y) - 2, 1)) * sqrt(fit$tau2 + fit$se^2)
      case$riley_low <- number(fit$beta) - half        # k - 2 df, written out
      case$riley_high <- number(fit$beta) + half
    }
    cases[[length(cases) + 1]] <- case
  }
}

posterior <- function(y, v, scale) {
  parts <- function(tau) {
    w <- 1 / (v + tau^2)
    m <- sum(w * y) / sum(w)
    c(-0.5 * (sum(log(v + tau^2)) + log(sum(w)) + sum(w * (y - m)^2)) - 0.5 * (tau / scale)^2, m,
      1 / sqrt(sum(w)))
  }
  top <- max(sapply(seq(0, 6, length.out = 2000) * scale, function(t) parts(t)[1]))
  breaks <- unique(sort(c(0, sqrt(min(v)) * c(0.1, 0.3, 1, 3), c(0.02, 0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1,
                                                              1.3, 1.6, 2, 2.5, 3, 4, 5, 6.5, 9) * scale)))
  over <- function(f, upper = Inf) {
    edges <- c(breaks[breaks < upper], if (is.finite(upper)) upper)
    sum(mapply(function(lower, upper) integrate(Vectorize(function(tau) {
      p <- parts(tau); exp(p[1] - top) * f(tau, p[2], p[3])
    }), lower, upper, rel.tol = 1e-11, abs.tol = 1e-15, subdivisions = 2000, stop.on.error = FALSE)$value,
    head(edges, -1), tail(edges, -1)))
  }
  total <- over(function(tau, m, s) 1)
  average <- function(f) over(f) / total
  below <- function(x) average(function(tau, m, s) pnorm((x - m) / s))
  centre <- average(function(tau, m, s) m)
  spread <- sqrt(average(function(tau, m, s) s^2 + (m - centre)^2))
  mu <- function(q) uniroot(function(x) below(x) - q, centre + c(-30, 30) * spread, tol = 1e-11)$root
  tau_quantile <- function(q) uniroot(function(t) over(function(tau, m, s) 1, t) / total - q,
                                      c(1e-9, 8.9) * scale, tol = 1e-11)$root
  own <- sapply(seq_along(y), function(i) {
    average(function(tau, m, s) (tau^2 * y[i] + v[i] * m) / (tau^2 + v[i]))
  })
  own_sd <- sapply(seq_along(y), function(i) sqrt(average(function(tau, m, s) {
    b <- tau^2 / (tau^2 + v[i]); b * v[i] + (1 - b)^2 * s^2 + (b * y[i] + (1 - b) * m - own[i])^2
  })))
  list(scale = scale, mean = centre, sd = spread, median = mu(0.5), low = mu(0.025), high = mu(0.975),
       positive = 1 - below(0), tau_mean = average(function(tau, m, s) tau), tau_median = tau_quantile(0.5),
       tau_low = tau_quantile(0.025), tau_high = tau_quantile(0.975), shrunken = own, shrunken_sd = own_sd)
}
bayes <- list()
for (s in sets) for (scale in c(0.25, 0.5, 1) * if (s$name %in% c("rubin1981", "dat.normand1999")) 20 else 1)
  bayes[[length(bayes) + 1]] <- c(list(set = s$name), posterior(s$y, s$v, scale))

write_json(list(versions = list(R = R.version.string, metafor = as.character(packageVersion("metafor")),
                                metadat = as.character(packageVersion("metadat"))),
                sets = unname(sets), cases = cases, bayes = bayes),
           file.path(dirname(script), "pooling.json"), digits = NA, auto_unbox = TRUE, pretty = TRUE)
