# Reference values for plresearch/effects.py. Run in this folder: Rscript effects.R
suppressPackageStartupMessages({
  library(effectsize)
  library(jsonlite)
  library(metafor)
})
set.seed(31)
options(warn = -1)

# interval of d_z: non-centralities by root search on pt, to 1e-12
dz_interval <- function(d, level) {
  n <- length(d); t <- mean(d) / (sd(d) / sqrt(n)); a <- (1 - level) / 2
  find <- function(p) uniroot(function(k) pt(t, n - 1, k) - p, t + c(-30, 30), tol = 1e-13,
                              extendInt = "downX")$root / sqrt(n)
  c(find(1 - a), find(a))
}
j_exact <- function(df) exp(lgamma(df / 2) - lgamma((df - 1) / 2)) / sqrt(df / 2)
wilson <- function(count, n, level)
  as.numeric(prop.test(count, n, conf.level = level, correct = FALSE)$conf.int)

change <- list()
kinds <- c("half", "thirds", "zeros", "none")
for (n in c(3:12, 16, 20, 34, 50)) for (kind in kinds) for (level in c(.9, .95)) {
  repeat {
    pre <- switch(kind, half = sample(4:10, n, TRUE) / 2, thirds = sample(6:15, n, TRUE) / 3,
                  zeros = sample(8:20, n, TRUE) / 4, none = round(rnorm(n, 3, .6), 3))
    post <- switch(kind, half = sample(5:10, n, TRUE) / 2,
                   thirds = pmin(pre + sample(-1:4, n, TRUE) / 3, 5),
                   zeros = pre + sample(c(0, 0, 0, 1, 2, -1), n, TRUE) / 4,
                   none = round(pre + rnorm(n, .4, .5), 3))
    if (sd(pre) > 0 && sd(post) > 0 && sd(post - pre) > 1e-6) break
  }
  d <- post - pre; r <- cor(pre, post); v <- c(var(pre), var(post)); z <- qnorm((1 + level) / 2)
  j <- j_exact(n - 1); s <- sqrt(mean(v)); m <- n - 1
  av <- mean(d) / s # Bonett (2008), the interval for dependent means
  av_se <- sqrt(av^2 * (v[1]^2 + v[2]^2 + 2 * r^2 * v[1] * v[2]) / (8 * m * s^4) +
                (v[1] + v[2] - 2 * r * sqrt(v[1] * v[2])) / (m * s^2))
  rm_ <- mean(d) / sd(d) * sqrt(2 * (1 - r)) # Borenstein (2009), 12.20 and 12.21
  rm_se <- sqrt((1 / n + rm_^2 / (2 * n)) * 2 * (1 - r))
  es <- escalc("SMCR", m1i = mean(post), m2i = mean(pre), sd1i = sd(pre), ri = r, ni = n)
  raw <- mean(d) / sd(pre) # by the formula: this metafor applies J to SMCR whatever `correct` says
  raw_se <- sqrt(2 * (1 - r) / n + raw^2 / (2 * n))
  package <- cohens_d(post, pre, paired = TRUE, ci = level)
  hedges <- hedges_g(post, pre, paired = TRUE, ci = level)
  change[[length(change) + 1]] <- list(
    n = n, kind = kind, level = level, pre = I(pre), post = I(post), j = j,
    t = as.numeric(c(mean(d), t.test(d, conf.level = level)$conf.int)),
    d_z = c(mean(d) / sd(d), dz_interval(d, level)),
    # effectsize loses its interval where the mean is float noise around zero
    effectsize_d = if (abs(mean(d)) > 1e-9) c(package$Cohens_d, package$CI_low, package$CI_high),
    effectsize_g = if (abs(mean(d)) > 1e-9) c(hedges$Hedges_g, hedges$CI_low, hedges$CI_high),
    d_av = c(av, av - z * av_se, av + z * av_se, av_se),
    d_rm = c(rm_, rm_ - z * rm_se, rm_ + z * rm_se, rm_se),
    smcr = as.numeric(c(es$yi, es$yi - z * sqrt(es$vi), es$yi + z * sqrt(es$vi), sqrt(es$vi))),
    smcr_raw = c(raw, raw - z * raw_se, raw + z * raw_se, raw_se),
    better = c(sum(round(d, 9) > 0), wilson(sum(round(d, 9) > 0), n, level)),
    same = c(sum(round(d, 9) == 0), wilson(sum(round(d, 9) == 0), n, level)),
    rank_biserial = rank_biserial(round(d * 3000), rep(0, n), paired = TRUE)$r_rank_biserial)
}

groups <- list()
for (size in list(c(2, 2), c(2, 10), c(3, 9), c(5, 7), c(8, 8), c(12, 12), c(30, 14))) for (repeat_ in 1:4) {
  x <- round(rnorm(size[1], 3.4, .7), 2); y <- round(rnorm(size[2], 3, .5), 2)
  v <- c(var(x), var(y)); m <- size - 1; s2 <- mean(v)
  d <- cohens_d(x, y, pooled_sd = FALSE, ci = NULL)$Cohens_d
  se <- sqrt(d^2 * sum(v^2 / m) / (8 * s2^2) + sum(v / m) / s2) # Bonett (2008), independent means
  groups[[length(groups) + 1]] <- list(x = I(x), y = I(y), d = d, se = se,
    low = d - qnorm(.975) * se, high = d + qnorm(.975) * se, j = j_exact(sum(m)))
}

power <- list()
for (n in c(3:20, 34, 50)) for (p in c(.5, .8, .9)) for (alpha in c(.05, .01)) {
  test <- power.t.test(n = n, sd = 1, power = p, sig.level = alpha, type = "one.sample", strict = TRUE,
                       tol = 1e-12)
  power[[length(power) + 1]] <- list(n = n, power = p, alpha = alpha, delta = test$delta)
}

reliable <- lapply(1:10, function(i) {
  n <- 12; pre <- sample(20:60, n, TRUE) / 4; post <- pre + sample(-10:16, n, TRUE) / 4
  reliability <- runif(1, .5, .95); sd_used <- if (i %% 2) sd(pre) else 2.5
  sem <- sd_used * sqrt(1 - reliability); rci <- (post - pre) / sqrt(2 * sem^2)
  list(pre = pre, post = post, reliability = reliability, sd = if (i %% 2) NULL else 2.5, sem = sem,
       improved = sum(rci > qnorm(.975)), worsened = sum(rci < -qnorm(.975)), index = rci)
})

hedges <- lapply(c(2, 3, 5, 5.5, 8, 11, 19, 33, 49, 200, 2000), function(df) list(df = df, j = j_exact(df)))

write_json(list(versions = list(R = as.character(getRversion()),
                                metafor = as.character(packageVersion("metafor")),
                                effectsize = as.character(packageVersion("effectsize")),
                                jsonlite = as.character(packageVersion("jsonlite"))),
                change = change, groups = groups, power = power, reliable = reliable, hedges = hedges),
           "effects.json", digits = NA, auto_unbox = TRUE, null = "null")
