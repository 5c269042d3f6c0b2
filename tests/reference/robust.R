# Reference values for plresearch.robust: clubSandwich (CR2, Satterthwaite, HTZ) and lm.
# Run: Rscript tests/reference/robust.R   (writes robust.json beside it)
# The actor-partner values on the couples' data need ../shared/real/dyadr/acipair.csv, seen from the root;
# without it they are carried over.  Only results are written, never the data.
suppressPackageStartupMessages({ library(clubSandwich); library(jsonlite) })
here <- dirname(sub("--file=", "", grep("--file=", commandArgs(FALSE), value = TRUE)))

cr2_case <- function(clusters, cohorts, kind, seed) {
  set.seed(seed)
  sizes <- switch(kind, pairs = rep(2, clusters), waves = rep(4, clusters), sample(1:5, clusters, TRUE))
  id <- rep(seq_len(clusters), sizes)
  n <- length(id)
  cohort <- factor(LETTERS[(id - 1) %% cohorts + 1])
  x <- if (kind == "level") round(rnorm(clusters), 2)[id] else round(rnorm(n), 2)
  z <- if (kind == "pairs") ave(id, id, FUN = seq_along) - 1 else round(runif(n), 2)
  y <- round(1 + 0.4 * x + rnorm(clusters)[id] + rnorm(n), 3)
  fit <- if (cohorts > 1) lm(y ~ cohort + x + z) else lm(y ~ x + z)
  V <- vcovCR(fit, cluster = id, type = "CR2")
  coefs <- coef_test(fit, vcov = V, test = "Satterthwaite")
  p <- length(coef(fit))
  L <- diag(p)[c(p - 1, p), ]
  htz <- Wald_test(fit, constraints = L, vcov = V, test = "HTZ")
  list(clusters = clusters, cohorts = cohorts, kind = kind, cluster = id, cohort = as.character(cohort),
       x = x, z = z, y = y, estimate = unname(coef(fit)), vcov = unname(as.matrix(V)),
       se = coefs$SE, df = coefs$df, p = coefs$p_Satt,
       htz = c(htz$Fstat, htz$df_num, htz$df_denom, htz$p_val))
}

equation <- function(own_out, own, partner, cohort) {
  fit <- if (is.null(cohort)) lm(own_out ~ own + partner) else lm(own_out ~ own + partner + cohort)
  V <- vcovCR(fit, cluster = seq_along(own), type = "CR2")
  tests <- coef_test(fit, vcov = V, test = "Satterthwaite")
  k <- unname(coef(fit)[3] / coef(fit)[2])
  df <- fit$df.residual; t <- qt(0.975, df); v <- vcov(fit)[2:3, 2:3]; b <- unname(coef(fit)[2:3])
  inside <- function(k) (b[2] - k * b[1])^2 - t^2 * (v[2, 2] - 2 * k * v[1, 2] + k^2 * v[1, 1])
  bounded <- b[1]^2 > t^2 * v[1, 1]
  edge <- function(sign) {
    w <- 1
    while (inside(k + sign * w) < 0) w <- 2 * w
    uniroot(inside, sort(c(k, k + sign * w)), tol = 1e-13)$root
  }
  list(estimate = b, se = unname(sqrt(diag(v))), df = df, p = unname(summary(fit)$coefficients[2:3, 4]),
       low = unname(confint(fit)[2:3, 1]), high = unname(confint(fit)[2:3, 2]),
       cr2_se = tests$SE[2:3], cr2_df = tests$df[2:3], cr2_p = tests$p_Satt[2:3],
       k = k, k_se = sqrt(v[2, 2] - 2 * k * v[1, 2] + k^2 * v[1, 1]) / abs(b[1]), bounded = bounded,
       fieller = if (bounded) c(edge(-1), edge(1)) else c())
}
partner_case <- function(n, cohorts, slope, seed) {
  set.seed(seed)
  u <- rnorm(n); pre <- cbind(u + rnorm(n), u + rnorm(n))
  post <- cbind(slope * pre[, 1] + 0.3 * pre[, 2] + rnorm(n), slope * pre[, 2] + 0.2 * pre[, 1] + rnorm(n))
  pre <- round(pre, 2); post <- round(post, 2)
  cohort <- LETTERS[(seq_len(n) - 1) %% cohorts + 1]
  use <- if (cohorts > 1) factor(cohort) else NULL
  list(n = n, cohorts = cohorts, pre = pre, post = post, cohort = cohort,
       equations = list(equation(post[, 1], pre[, 1], pre[, 2], use),
                        equation(post[, 2], pre[, 2], pre[, 1], use)))
}

cr2 <- list(); partner <- list(); seed <- 10
kinds <- c("pairs", "waves", "level", "uneven")
for (clusters in c(6, 9, 12, 20, 30)) for (cohorts in 1:3) for (kind in kinds) {
  seed <- seed + 1
  cr2[[length(cr2) + 1]] <- cr2_case(clusters, cohorts, kind, seed)
}
for (n in c(6, 9, 12, 20, 30)) for (cohorts in c(1, 2)) for (slope in c(0.1, 0.8)) {
  seed <- seed + 1
  partner[[length(partner) + 1]] <- partner_case(n, cohorts, slope, seed)
}
path <- file.path(here, "..", "..", "..", "shared", "real", "dyadr", "acipair.csv")
target <- file.path(here, "robust.json")
couples <- if (file.exists(path)) {
  d <- read.csv(path, strip.white = TRUE)
  d <- d[d$Partnum == 1, ]
  list(pairs = nrow(d), roles = c("wife", "husband"), predictor = "OtherPos", outcome = "Satisfaction",
       equations = list(equation(d$Satisfaction_A, d$OtherPos_A, d$OtherPos_P, NULL),
                        equation(d$Satisfaction_P, d$OtherPos_P, d$OtherPos_A, NULL)))
} else fromJSON(target, simplifyVector = TRUE)$couples
packages <- c("clubSandwich")
versions <- c(R = paste(R.version$major, R.version$minor, sep = "."),
              sapply(packages, function(p) as.character(packageVersion(p))))
write_json(list(versions = as.list(versions), cr2 = cr2, partner = partner, couples = couples), target,
           digits = NA, auto_unbox = TRUE, matrix = "rowmajor")
