# Reference values for plresearch.missing: mice::pool.scalar (Rubin's rules, Barnard-Rubin degrees of
# freedom) and, for imputation by distribution, mice with many imputations. Run from this folder: Rscript
# missing.R
suppressPackageStartupMessages({library(mice); library(jsonlite)})

pooling <- list()
grid <- expand.grid(m = c(2, 5, 20, 50), n = c(7, 12, 34, Inf), spread = c(0.01, 0.3, 1.5))
for (i in seq_len(nrow(grid))) {
  g <- grid[i, ]
  set.seed(4000 + i)
  u <- rgamma(g$m, 20, 200)
  q <- rnorm(g$m, 0.4, g$spread * sqrt(0.1))
  r <- mice::pool.scalar(q, u, n = g$n, k = 1)
  half <- qt(0.975, r$df) * sqrt(r$t)
  pooling[[i]] <- list(estimates = q, variances = u,
    df_complete = if (is.finite(g$n)) g$n - 1 else "infinite",
    estimate = r$qbar, within = r$ubar, between = r$b, total = r$t, df = r$df, relative_increase = r$r,
    fraction_missing = r$fmi, low = r$qbar - half, high = r$qbar + half,
    p = 2 * pt(-abs(r$qbar) / sqrt(r$t), r$df))
}

set.seed(4999)
n <- 24
cohort <- rep(c("a", "b"), each = n / 2)
pair <- rnorm(n)
pre <- cbind(3 + 0.4 * pair + rnorm(n, 0, 0.5), 3.2 + 0.4 * pair + rnorm(n, 0, 0.5))
post <- 0.5 + 0.3 * (cohort == "b") + 0.7 * pre + 0.3 * pair + matrix(rnorm(2 * n, 0, 0.4), n)
post[c(1, 5, 9, 14, 20), 1] <- NA
post[c(1, 3, 17, 20, 22), 2] <- NA
data <- data.frame(dpre = pre[, 1], mpre = pre[, 2], dpost = post[, 1], mpost = post[, 2],
                   cohort = factor(cohort))
distribution <- lapply(c(norm = "norm", pmm = "pmm"), function(method) {
  m <- 600
  fit <- mice::mice(data, m = m, method = method, maxit = 5, seed = 11, printFlag = FALSE)
  copies <- lapply(seq_len(m), function(k) mice::complete(fit, k))
  change <- sapply(copies, function(d) mean((d$dpost + d$mpost) / 2 - (d$dpre + d$mpre) / 2))
  variance <- sapply(copies, function(d) var((d$dpost + d$mpost) / 2 - (d$dpre + d$mpre) / 2) / n)
  cells <- rbind(as.matrix(fit$imp$dpost), as.matrix(fit$imp$mpost))
  list(m = m, estimate = mean(change), between = var(change), within = mean(variance),
       cell_mean = unname(rowMeans(cells)), cell_sd = unname(apply(cells, 1, sd)))
})
write_json(list(versions = list(R = as.character(getRversion()), mice = as.character(packageVersion("mice"))),
                pooling = pooling, imputation = list(pre = pre, post = post, cohort = cohort,
                                                     distribution = distribution)),
           "missing.json", digits = NA, auto_unbox = TRUE, null = "null", na = "null")
