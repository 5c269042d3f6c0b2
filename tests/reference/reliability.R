# Reference values for plresearch.reliability: psych (alpha, guttman, alpha.ci) and lavaan (one-factor ML,
# omega through :=, delta-method standard error). Run from this folder: Rscript reliability.R
suppressPackageStartupMessages({library(psych); library(lavaan); library(jsonlite)})

answers <- function(seed, n, k, loading, points) {
  set.seed(seed)
  common <- rnorm(n)
  loading <- rep_len(loading, k)
  latent <- outer(common, loading) + matrix(rnorm(n * k), n) %*% diag(sqrt(1 - loading^2))
  if (points == 0) return(latent * rep_len(c(1, 2, 0.5), k)[col(latent)] + 3)
  x <- matrix(pmin(points, pmax(1, round(latent * points / 5 + (points + 1) / 2))), n)
  x
}

# psych takes the lambdas from correlations; the raw-score forms below are Guttman's definitions on
# covariances.
lambda2 <- function(C) {
  k <- ncol(C); o <- C[row(C) != col(C)]
  (sum(o) + sqrt(k / (k - 1) * sum(o^2))) / sum(C)
}
lambda6 <- function(x) {
  residual <- sapply(seq_len(ncol(x)), function(j) sum(resid(lm(x[, j] ~ x[, -j]))^2) / (nrow(x) - 1))
  1 - sum(residual) / sum(cov(x))
}

consistency <- list()
grid <- expand.grid(n = c(6, 12, 24, 60), k = c(2, 3, 5), loading = c("even", "uneven", "weak"),
                    points = c(5, 7, 0), stringsAsFactors = FALSE)
grid$seed <- 1000 + seq_len(nrow(grid))
loadings <- list(even = 0.75, uneven = c(0.9, 0.6, 0.4), weak = c(0.3, 0.1, -0.2))
for (i in seq_len(nrow(grid))) {
  g <- grid[i, ]
  x <- answers(g$seed, g$n, g$k, loadings[[g$loading]], g$points)
  stopifnot(all(apply(x, 2, sd) > 0))
  colnames(x) <- paste0("i", seq_len(g$k))
  a <- suppressWarnings(suppressMessages(
    psych::alpha(as.data.frame(x), check.keys = FALSE, warnings = FALSE)))
  raw <- a$total$raw_alpha
  full_rank <- min(eigen(cor(x), only.values = TRUE)$values) > 1e-10
  level <- c(0.95, 0.90)[1 + i %% 2]
  f <- unclass(psych::alpha.ci(raw, n.obs = g$n, n.var = g$k, p.val = 1 - level))
  lam <- if (g$k >= 3) suppressWarnings(suppressMessages(psych::guttman(x))) else NULL
  consistency[[i]] <- list(
    items = x, level = level, alpha = raw, standardised = a$total$std.alpha,
    low = f$lower.ci, high = f$upper.ci,
    item_rest = unname(a$item.stats$r.drop),
    alpha_if_dropped = if (g$k >= 3) unname(a$alpha.drop$raw_alpha) else NULL,
    lambda2_standardised = if (is.null(lam)) NULL else unname(lam$lambda.2),
    lambda6_standardised = if (is.null(lam) || !full_rank) NULL else unname(lam$lambda.6),
    g6_psych_alpha = if (full_rank) unname(a$total[["G6(smc)"]]) else NULL,
    lambda2 = lambda2(cov(x)), lambda6 = if (full_rank) lambda6(x) else NULL,
    sem = if (raw >= 0) sd(rowMeans(x)) * sqrt(1 - raw) else NULL)
}

omega <- list()
grid <- expand.grid(n = c(30, 60, 200), k = c(3, 4, 6, 9), loading = c("even", "uneven"), points = c(5, 0),
                    stringsAsFactors = FALSE)
grid$seed <- 2000 + seq_len(nrow(grid))
heywood <- data.frame(n = c(30, 30, 45, 45, 60, 60), k = c(3, 4, 3, 4, 3, 4), loading = "heywood", points = 0,
                      seed = c(7, 5, 5, 17, 14, 6))
grid <- rbind(grid, heywood)
loadings$heywood <- c(0.98, 0.5, 0.4, 0.3)
for (i in seq_len(nrow(grid))) {
  g <- grid[i, ]
  x <- answers(g$seed, g$n, g$k, loadings[[g$loading]], g$points)
  names <- paste0("i", seq_len(g$k))
  colnames(x) <- names
  model <- paste0("f =~ ", paste0("l", seq_len(g$k), "*", names, collapse = " + "), "\n",
    paste0(names, " ~~ u", seq_len(g$k), "*", names, collapse = "\n"), "\n",
    "omega := (", paste0("l", seq_len(g$k), collapse = "+"), ")^2 / ((",
    paste0("l", seq_len(g$k), collapse = "+"), ")^2 + ", paste0("u", seq_len(g$k), collapse = "+"), ")")
  for (tolerance in 10^-(14:10)) {
    fit <- suppressWarnings(lavaan::cfa(model, data = as.data.frame(x), std.lv = TRUE, estimator = "ML",
      control = list(rel.tol = tolerance, iter.max = 20000, eval.max = 40000)))
    if (lavInspect(fit, "converged")) break
  }
  if (!lavInspect(fit, "converged")) stop("lavaan did not converge in case ", i)
  p <- parameterEstimates(fit)
  o <- p[p$op == ":=", ]
  load <- p[p$op == "=~", "est"]
  if (sum(load) < 0) load <- -load
  z <- qnorm(0.975)
  inside <- o$est > 0 && o$est < 1
  logit <- if (inside) plogis(qlogis(o$est) + c(-1, 1) * z * o$se / (o$est * (1 - o$est))) else NULL
  m <- fitMeasures(fit, c("chisq", "df", "pvalue"))
  # lavaan reports convergence although a uniqueness runs off to minus infinity: the likelihood has no
  # maximum.
  runaway <- any(abs(p[p$op == "~~" & p$lhs != "f", "est"]) > 50 * apply(x, 2, var))
  omega[[i]] <- if (runaway) list(items = x, no_maximum = TRUE) else list(items = x, no_maximum = FALSE, 
    omega = o$est, se = o$se, low = o$ci.lower, high = o$ci.upper,
    logit_low = if (is.null(logit)) NULL else logit[1], logit_high = if (is.null(logit)) NULL else logit[2],
    loadings = load, uniquenesses = p[p$op == "~~" & p$lhs != "f", "est"],
    chi2 = unname(m["chisq"]), df = unname(m["df"]), p = if (m["df"] > 0) unname(m["pvalue"]) else NULL)
}

write_json(list(versions = list(R = as.character(getRversion()),
                                psych = as.character(packageVersion("psych")),
                                lavaan = as.character(packageVersion("lavaan"))),
                consistency = consistency, omega = omega),
           "reliability.json", digits = NA, auto_unbox = TRUE, null = "null")
cat("Heywood:", sum(sapply(omega, function(o) any(o$uniquenesses <= 0))), "of", length(omega), "\n")
