# Reference values for plresearch/clmm.py from ordinal: clmm (Laplace; adaptive Gauss-Hermite with 7 and 10
# nodes; two groupings), clm, nominal_test, clmm2 with nominal effects. Writes clmm.json beside this script.
suppressMessages({library(ordinal); library(jsonlite)})
script <- sub("--file=", "", grep("--file=", commandArgs(FALSE), value = TRUE))

sets <- list()
add <- function(name, d, x) sets[[name]] <<- list(name = name, y = as.integer(d$y),
                                                  x = unname(as.matrix(d[x])),
                                                  person = as.integer(factor(d$person)),
                                                  item = if (!is.null(d$item)) as.integer(factor(d$item)))
data(wine)
wine$x1 <- as.integer(wine$temp == "warm"); wine$x2 <- as.integer(wine$contact == "yes")
wine$y <- wine$rating; wine$person <- wine$judge; wine$item <- wine$bottle
add("wine", wine, c("x1", "x2"))

simulate <- function(seed, persons, items, sd_person, sd_item, theta, beta, nested = FALSE) {
  set.seed(seed)
  d <- expand.grid(item = seq_len(items), x1 = 0:1, person = seq_len(persons))
  d$x2 <- round(rnorm(persons), 3)[d$person]
  unit <- if (nested) (d$person - 1) %/% 2 + 1 else d$item
  eta <- as.matrix(d[c("x1", "x2")]) %*% beta + sd_person * rnorm(persons)[d$person] +
    sd_item * rnorm(max(unit))[unit]
  d$y <- findInterval(eta + rlogis(nrow(d)), theta) + 1
  if (nested) d$item <- unit
  d
}
plan <- list(
  list("12 persons, 4 items", 11, 12, 4, 1, 0.7, c(-1.5, 0, 1.2), c(0.8, 0.3)),
  list("12 persons, 8 items", 12, 12, 8, 1.5, 0.5, c(-2, -1, 0.5, 2), c(1, -0.4)),
  list("40 persons, 6 items", 13, 40, 6, 0.8, 0.8, c(-1, 0, 1, 2), c(0.5, 0)),
  list("100 persons, 5 items", 14, 100, 5, 1.2, 0.4, c(-2, 0, 2), c(0.7, 0.5)),
  list("30 persons, 3 items, binary", 15, 30, 3, 1, 0.9, 0.3, c(0.9, 0.2)),
  list("24 persons, 6 items, no person variance", 16, 24, 6, 0, 0.9, c(-1, 0, 1), c(0.6, 0.2)),
  list("24 persons, 10 items, large variance", 17, 24, 10, 3, 2, c(-2, -1, 1, 2), c(1.5, 0.5)),
  list("40 persons in pairs", 18, 40, 4, 0.8, 0.9, c(-1.5, 0, 1.5), c(0.7, 0.2), TRUE))
for (p in plan) add(p[[1]], do.call(simulate, p[-1]), c("x1", "x2"))

fits <- list()
best <- function(formula, d, nodes) {       # the tightest settings; of both optimisers, the higher likelihood
  controls <- list(clmm.control(method = "nlminb", gradTol = 1e-9, rel.tol = 1e-15, x.tol = 1e-12,
                                eval.max = 2000, iter.max = 1000, innerCtrl = "noWarn"),
                   clmm.control(method = "ucminf", gradTol = 1e-9, grtol = 1e-9, xtol = 1e-14,
                                innerCtrl = "noWarn"))
  all <- lapply(controls, function(control) suppressWarnings(
    try(clmm(formula, data = d, nAGQ = nodes, control = control, Hess = TRUE), silent = TRUE)))
  all <- all[!sapply(all, inherits, "try-error")]
  all[[which.max(sapply(all, function(f) as.numeric(f$logLik)))]]
}
# ordinal's numerical Hessian is smoothest when its inner iterations are not pushed to rounding error
information <- function(formula, d, nodes, two) {
  control <- if (two) clmm.control(method = "nlminb", gradTol = 1e-6, rel.tol = 1e-15, x.tol = 1e-12)
             else clmm.control(method = "ucminf", gradTol = 1e-6, grtol = 1e-9, xtol = 1e-14)
  suppressWarnings(clmm(formula, data = d, nAGQ = nodes, control = control, Hess = TRUE))$Hessian
}
for (s in sets) {
  d <- data.frame(y = factor(s$y), x1 = s$x[, 1], x2 = s$x[, 2], person = factor(s$person),
                  item = factor(s$item))
  models <- list(list("person", y ~ x1 + x2 + (1 | person), 1), list("person", y ~ x1 + x2 + (1 | person), 7),
                 list("person", y ~ x1 + x2 + (1 | person), 10),
                 list("both", y ~ x1 + x2 + (1 | person) + (1 | item), 1))
  for (m in models) {
    fit <- best(m[[2]], d, m[[3]])
    size <- nlevels(d$y) - 1
    wanted <- if (m[[1]] == "both") c("person", "item") else "person"
    v <- try(solve(information(m[[2]], d, m[[3]], m[[1]] == "both")), silent = TRUE)
    fits[[length(fits) + 1]] <- list(
      set = s$name, groups = m[[1]], nodes = m[[3]], log_likelihood = as.numeric(fit$logLik),
      thresholds = unname(fit$coefficients[1:size]), beta = unname(fit$beta),
      sd = unname(sapply(fit$ST[wanted], as.numeric)),
      order = names(fit$ST), gradient = max(abs(fit$gradient)),
      vcov = if (inherits(v, "try-error") || any(!is.finite(v))) NULL else unname(v),
      modes = lapply(ranef(fit)[wanted], function(r) r[[1]]))
  }
}

fixed <- list(); tests <- list()
for (s in sets) {
  d <- data.frame(y = factor(s$y), x1 = s$x[, 1], x2 = s$x[, 2], person = factor(s$person))
  fit <- clm(y ~ x1 + x2, data = d, control = clm.control(gradTol = 1e-11, maxIter = 200))
  loose <- clm(y ~ x1 + x2, data = d)
  new <- data.frame(x1 = c(0, 1, 1), x2 = c(0, 0, 0.7))
  fixed[[length(fixed) + 1]] <- list(
    set = s$name, log_likelihood = as.numeric(fit$logLik), thresholds = unname(fit$alpha),
    beta = unname(fit$beta),
    vcov = unname(vcov(fit)), x = unname(as.matrix(new)),
    probabilities = unname(predict(fit, newdata = new)$fit))
  if (nlevels(d$y) == 2) next
  test <- nominal_test(loose)
  for (i in 1:2) tests[[length(tests) + 1]] <- list(set = s$name, groups = "none", column = i - 1, nodes = 1,
                                                    df = test[i + 1, "Df"], statistic = test[i + 1, "LRT"],
                                                    p = test[i + 1, "Pr(>Chi)"])
  for (nodes in c(1, 7)) {
    tight <- clmm2.control(grtol = 1e-8, gradTol = 1e-9, xtol = 1e-12, innerCtrl = "noWarn")
    null <- clmm2(y ~ x1 + x2, random = person, data = d, nAGQ = nodes, Hess = FALSE, control = tight)
    full <- try(clmm2(y ~ x2, nominal = ~ x1, random = person, data = d, nAGQ = nodes, Hess = FALSE,
                      control = tight), silent = TRUE)
    if (inherits(full, "try-error")) next
    tests[[length(tests) + 1]] <- list(set = s$name, groups = "person", column = 0, nodes = nodes,
                                       df = nlevels(d$y) - 2, null = as.numeric(null$logLik),
                                       nominal = as.numeric(full$logLik),
                                       statistic = 2 * (full$logLik - null$logLik))
  }
}

marginal <- lapply(c(0.3, 1, 2.5, 6), function(sd) list(sd = sd, logit = c(-2, 0, 0.7, 3),
                                                         cumulative = sapply(
  c(-2, 0, 0.7, 3), function(a) integrate(function(u) plogis(a - sd * u) * dnorm(u), -12, 12, rel.tol = 1e-12,
                                          subdivisions = 1000)$value)))

write_json(list(versions = list(R = R.version.string, ordinal = as.character(packageVersion("ordinal"))),
                sets = unname(sets), fits = fits, fixed = fixed, nominal = tests, marginal = marginal),
           file.path(dirname(script), "clmm.json"), digits = NA, auto_unbox = TRUE, pretty = TRUE)
