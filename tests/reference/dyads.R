# Reference values for plresearch.dyads: psych::ICC, cor.test, Pitman-Morgan as the correlation of sum and
# difference (its interval by root finding) and full enumeration of re-pairings. Run from this folder:
# Rscript dyads.R The couples' data lie beside the repository; where they do not, the committed values are
# kept.
suppressPackageStartupMessages({library(psych); library(jsonlite)})

icc <- function(d, m, row, level) {
  r <- psych::ICC(cbind(d, m), alpha = 1 - level, lmer = FALSE)$results[row, ]
  p <- pf(r$F, r$df1, r$df2)
  list(value = r$ICC, low = r[["lower bound"]], high = r[["upper bound"]], f = r$F, df1 = r$df1, df2 = r$df2,
       p = 2 * min(p, 1 - p))
}

correlate <- function(d, m, level) {
  r <- cor.test(d, m, conf.level = level)
  list(value = unname(r$estimate), low = r$conf.int[1], high = r$conf.int[2], p = r$p.value)
}

variances <- function(d, m, level) {
  p_at <- function(ratio) cor.test(d + m * sqrt(ratio), d - m * sqrt(ratio))
  zero <- p_at(1)
  estimate <- var(d) / var(m)
  gap <- function(log_ratio) p_at(exp(log_ratio))$p.value - (1 - level)
  centre <- log(estimate)
  list(ratio = estimate, t = unname(zero$statistic), df = unname(zero$parameter), p = zero$p.value,
       low = exp(uniroot(gap, c(centre - 12, centre), tol = 1e-14)$root),
       high = exp(uniroot(gap, c(centre, centre + 12), tol = 1e-14)$root))
}

orders <- function(v) {
  if (length(v) == 1) return(matrix(v, 1))
  do.call(rbind, lapply(seq_along(v), function(i) cbind(v[i], orders(v[-i]))))
}

repaired <- function(d, m, statistic) {
  value <- function(o) if (statistic == "gap") mean(abs(d - m[o])) else 2 * cov(d, m[o]) / (var(d) + var(m))
  all <- round(apply(orders(seq_along(d)), 1, value), 9)
  actual <- value(seq_along(d))
  lower <- mean(all <= round(actual, 9)); upper <- mean(all >= round(actual, 9))
  list(actual = actual, expected = mean(all), p_closer = if (statistic == "gap") lower else upper,
       p = min(1, 2 * min(lower, upper)), repairings = length(all))
}

describe <- function(d, m, level) {
  list(doctor = d, manager = m, level = level, distinguishable = icc(d, m, 3, level),
       indistinguishable = icc(d, m, 1, level), pearson = correlate(d, m, level),
       variances = variances(d, m, level))
}

cases <- list()
grid <- expand.grid(n = c(4, 6, 7, 12, 34), rho = c(-0.4, 0, 0.7), shift = c(0, 0.8), ties = c(FALSE, TRUE))
for (i in seq_len(nrow(grid))) {
  g <- grid[i, ]
  set.seed(5000 + i)
  d <- rnorm(g$n); m <- 1.4 * (g$rho * d + sqrt(1 - g$rho^2) * rnorm(g$n)) + g$shift
  if (g$ties) { d <- round(3 + d * 3) / 3; m <- round(3 + m * 3) / 3 }
  if (abs(cor(d, m)) > 1 - 1e-9) next
  case <- describe(d, m, c(0.95, 0.9)[1 + i %% 2])
  if (g$n <= 7) case$pseudo <- list(gap = repaired(d, m, "gap"), icc = repaired(d, m, "icc"))
  cases[[length(cases) + 1]] <- case
}

source <- file.path("..", "..", "..", "shared", "real", "dyadr", "acipair.csv")
if (file.exists(source)) {
  couples <- read.csv(source)
  couples <- couples[trimws(couples$Gender_A) == "Wife", ]
  acipair <- describe(couples$Satisfaction_A, couples$Satisfaction_P, 0.95)
  acipair$doctor <- acipair$manager <- NULL
  acipair$n <- nrow(couples)
  acipair$mean_gap <- mean(abs(couples$Satisfaction_A - couples$Satisfaction_P))
  acipair$expected_gap <- mean(abs(outer(couples$Satisfaction_A, couples$Satisfaction_P, "-")))
} else {
  acipair <- read_json("dyads.json", simplifyVector = TRUE)$acipair
}
write_json(list(versions = list(R = as.character(getRversion()),
                                psych = as.character(packageVersion("psych"))),
                cases = cases, acipair = acipair),
           "dyads.json", digits = NA, auto_unbox = TRUE, null = "null")
cat(length(cases), "cases\n")
