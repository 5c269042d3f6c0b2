# Reference values for plresearch.mixed: lme4, lmerTest, pbkrtest, emmeans, nlme.
# Run: Rscript tests/reference/mixed.R   (writes mixed.json beside it)
suppressPackageStartupMessages({
  library(lme4); library(lmerTest); library(pbkrtest); library(emmeans); library(nlme); library(jsonlite)
})
emm_options(pbkrtest.limit = 1e5, lmerTest.limit = 1e5)
here <- dirname(sub("--file=", "", grep("--file=", commandArgs(FALSE), value = TRUE)))

# lme4's optimiser followed by Newton steps on the deviance, so that theta is exact to about 1e-9.
polish <- function(fn, par, lower, upper, control) {
  best <- NULL
  for (start in list(par, rep(0.3, length(par)), replace(par, 1, 0.05))) {
    fit <- minqa::bobyqa(start, fn, lower = lower,
                         control = list(rhobeg = 0.2, rhoend = 1e-9, maxfun = 20000))
    if (is.null(best) || fit$fval < best$fval) best <- fit
  }
  theta <- best$par
  theta[theta < 2e-4] <- 0
  free <- theta > 0
  if (any(free)) for (i in 1:6) {
    part <- function(x) { full <- theta; full[free] <- x; fn(full) }
    step <- solve(numDeriv::hessian(part, theta[free]), numDeriv::grad(part, theta[free]))
    if (max(abs(step)) > 1e-2 || any(theta[free] - step < 0)) break
    theta[free] <- theta[free] - step
  }
  for (k in which(theta > 0 & theta < 0.01)) if (fn(replace(theta, k, 0)) <= fn(theta)) theta[k] <- 0
  stopifnot(fn(theta) < best$fval + 1e-7)
  list(par = theta, fval = fn(theta), feval = 1, convergence = 0, message = "polished")
}
control <- lmerControl(optimizer = polish, calc.derivs = FALSE, check.conv.singular = "ignore",
                       restart_edge = FALSE, boundary.tol = 0)

simulate_scores <- function(pairs, cohorts, kind, waves, roles, seed) {
  set.seed(seed)
  d <- expand.grid(wave = waves, role = roles, pair = sprintf("p%02d", seq_len(pairs)),
                   stringsAsFactors = FALSE)
  d$cohort <- LETTERS[(as.integer(factor(d$pair)) - 1) %% cohorts + 1]
  d$person <- paste0(d$pair, substr(d$role, 1, 1))
  sd_pair <- if (kind == "weak") 0 else 0.6
  sd_person <- if (kind == "weak") 0.15 else 0.5
  u <- rnorm(pairs, 0, sd_pair); names(u) <- unique(d$pair)
  v <- rnorm(length(unique(d$person)), 0, sd_person); names(v) <- unique(d$person)
  d$score <- 3 + u[d$pair] + v[d$person] + 0.5 * (d$wave != waves[1]) + 0.3 * (d$role == "manager") +
    rnorm(nrow(d), 0, 0.5)
  d$score <- if (kind == "tied") pmin(5, pmax(1, round(d$score))) else round(d$score, 3)
  if (kind == "missing") {
    gone <- sample(which(d$wave != waves[1]), max(1, round(0.15 * nrow(d))))
    lost <- d$person == d$person[nrow(d)]
    d <- d[!(seq_len(nrow(d)) %in% gone) & !lost, ]
  }
  d$wave <- factor(d$wave, levels = waves)
  d$role <- factor(d$role, levels = roles)
  d$cohort <- factor(d$cohort)
  d
}

as_t <- function(table) unname(as.matrix(table))
t_table <- function(object, df) {
  s <- as.data.frame(summary(object, infer = c(TRUE, TRUE), adjust = "none"))
  columns <- c(if ("emmean" %in% names(s)) "emmean" else "estimate", "SE", "df", "lower.CL", "upper.CL")
  unname(as.matrix(s[, columns]))
}
f_row <- function(L, fit) {
  kr <- KRmodcomp(fit, L)$stats
  st <- contestMD(fit, L, ddf = "Satterthwaite")
  list(kr = c(kr$Fstat, kr$ndf, kr$ddf, kr$F.scaling, kr$p.value),
       sat = c(st[["F value"]], st$NumDF, st$DenDF, 1, st[["Pr(>F)"]]))
}

components_case <- function(pairs, cohorts, kind, waves = c("pre", "post"), roles = c("doctor", "manager"),
                            seed) {
  d <- simulate_scores(pairs, cohorts, kind, waves, roles, seed)
  rhs <- c(if (cohorts > 1) "cohort", if (length(roles) > 1) "role * wave" else "wave")
  random <- if (length(roles) > 1) "(1 | pair) + (1 | person)" else "(1 | person)"
  formula <- as.formula(paste("score ~", paste(c(rhs, random), collapse = " + ")))
  fit <- eval(bquote(lmerTest::lmer(.(formula), data = d, REML = TRUE, control = control)))
  by_cells <- if (length(roles) > 1) ~ role * wave else ~ wave
  result <- list(pairs = pairs, cohorts = cohorts, kind = kind, waves = waves, roles = roles,
    data = list(cohort = as.character(d$cohort), pair = d$pair, person = d$person,
                role = as.character(d$role), wave = as.character(d$wave), score = d$score),
    loglik = as.numeric(logLik(fit)), singular = isSingular(fit, tol = 1e-7),
    variances = setNames(as.list(as.data.frame(VarCorr(fit))$vcov), as.data.frame(VarCorr(fit))$grp),
    beta = unname(fixef(fit)), vcov = as_t(vcov(fit)), vcov_kr = as_t(vcovAdj(fit)))
  for (method in c("kenward-roger", "satterthwaite")) {
    cells <- emmeans(fit, by_cells, lmer.df = method, weights = "equal")
    wave_means <- suppressMessages(emmeans(fit, ~ wave, lmer.df = method, weights = "equal"))
    change <- contrast(wave_means, "trt.vs.ctrl")
    rows <- list(cells = t_table(cells), wave_means = t_table(wave_means), change = t_table(change))
    if (length(roles) > 1) {
      rows$change_by_role <- t_table(contrast(cells, "trt.vs.ctrl", by = "role"))
      rows$role_by_wave <- t_table(contrast(cells, interaction = c("trt.vs.ctrl", "trt.vs.ctrl"),
                                            by = NULL))
    }
    result[[sub("-", "_", method)]] <- rows
  }
  names <- names(fixef(fit))
  pick <- function(index) diag(length(names))[index, , drop = FALSE]
  if (length(roles) > 1) result$f_role_wave <- f_row(pick(grep("^role.*:wave", names)), fit)
  if (cohorts > 1) {
    crossed <- eval(bquote(lmerTest::lmer(.(update(formula, . ~ . + cohort:wave)), data = d,
                                          control = control)))
    names <- names(fixef(crossed))
    result$f_cohort_wave <- f_row(pick(grep("cohort.*:wave|wave.*:cohort", names)), crossed)
    result$crossed_singular <- isSingular(crossed, tol = 1e-7)
  }
  result
}

# Dense Kenward-Roger for a covariance linear in its parameters, from the 1997 paper; Fisher scoring.
dense_reml <- function(y, X, G, theta, rows) {
  n <- length(y)
  for (i in 1:500) {
    V <- Reduce(`+`, Map(`*`, theta, G)); W <- solve(V)
    Phi <- solve(t(X) %*% W %*% X); P <- W - W %*% X %*% Phi %*% t(X) %*% W
    PG <- lapply(G, function(g) P %*% g)
    Py <- drop(P %*% y)
    score <- sapply(seq_along(G), function(r) (sum(Py * (G[[r]] %*% Py)) - sum(diag(PG[[r]]))) / 2)
    info <- outer(seq_along(G), seq_along(G), Vectorize(function(r, s) sum(PG[[r]] * t(PG[[s]])) / 2))
    step <- solve(info, score)
    if (max(abs(step)) < 1e-13) break
    theta <- theta + step
  }
  WX <- W %*% X
  Pr <- lapply(G, function(g) -t(WX) %*% g %*% WX)
  w <- solve(info)
  lambda <- 0
  for (r in seq_along(G)) for (s in seq_along(G))
    lambda <- lambda + w[r, s] * (t(WX) %*% G[[r]] %*% W %*% G[[s]] %*% WX - Pr[[r]] %*% Phi %*% Pr[[s]])
  adjusted <- Phi + 2 * Phi %*% lambda %*% Phi
  beta <- drop(Phi %*% t(WX) %*% y)
  tests <- lapply(rows, function(L) {
    q <- nrow(L)
    Theta <- t(L) %*% solve(L %*% Phi %*% t(L)) %*% L
    a1 <- 0; a2 <- 0
    for (r in seq_along(G)) for (s in seq_along(G)) {
      one <- Theta %*% Phi %*% Pr[[r]] %*% Phi; two <- Theta %*% Phi %*% Pr[[s]] %*% Phi
      a1 <- a1 + w[r, s] * sum(diag(one)) * sum(diag(two)); a2 <- a2 + w[r, s] * sum(diag(one %*% two))
    }
    b <- (a1 + 6 * a2) / (2 * q); g <- ((q + 1) * a1 - (q + 4) * a2) / ((q + 2) * a2)
    base <- 3 * q + 2 * (1 - g); e <- 1 / (1 - a2 / q)
    v <- 2 / q * (1 + g / base * b) / ((1 - (q - g) / base * b)^2 * (1 - (q + 2 - g) / base * b))
    m <- 4 + (q + 2) / (q * v / (2 * e^2) - 1)
    scale <- m / (e * (m - 2))
    f <- scale / q * drop(t(L %*% beta) %*% solve(L %*% adjusted %*% t(L)) %*% (L %*% beta))
    c(f, q, m, scale)
  })
  list(theta = theta, beta = beta, vcov = unname(Phi), vcov_kr = unname(adjusted), tests = tests,
       loglik = -(determinant(V)$modulus + determinant(t(X) %*% WX)$modulus + drop(t(y) %*% P %*% y) +
                    (n - ncol(X)) * log(2 * pi))[1] / 2)
}

unstructured_case <- function(pairs, cohorts, kind, seed) {
  waves <- c("pre", "post"); roles <- c("doctor", "manager")
  d <- simulate_scores(pairs, cohorts, kind, waves, roles, seed)
  d$cell <- factor(paste(d$role, d$wave), levels = sort(unique(paste(d$role, d$wave))))
  d$index <- as.integer(d$cell)
  d <- d[order(d$pair, d$index), ]
  formula <- if (cohorts > 1) score ~ cohort + role * wave else score ~ role * wave
  fit <- gls(formula, d, correlation = corSymm(form = ~ index | pair), weights = varIdent(form = ~ 1 | cell),
             control = glsControl(maxIter = 500, msMaxIter = 2000, tolerance = 1e-11, msTol = 1e-13))
  X <- model.matrix(formula, d)
  same <- outer(d$pair, d$pair, "==")
  G <- list()
  for (a in 1:4) for (b in a:4) {
    hit <- outer(d$index == a, d$index == b, "&")
    G[[length(G) + 1]] <- same * ((hit | t(hit)) + 0)
  }
  start <- as.vector(t(matrix(0, 4, 4))[1:10])
  complete <- tapply(resid(fit)^2, d$index, mean)
  start[c(1, 5, 8, 10)] <- complete
  p <- ncol(X)
  sum_change <- rep(0, p); sum_change[grep("^wavepost$", colnames(X))] <- 1
  sum_change[grep(":wave", colnames(X))] <- 0.5
  inter <- rep(0, p); inter[grep(":wave", colnames(X))] <- 1
  both <- rbind(sum_change, inter)
  dense <- dense_reml(d$score, X, G, start, list(rbind(sum_change), rbind(inter), both))
  c(list(pairs = pairs, cohorts = cohorts, kind = kind, rows = list(unname(sum_change), unname(inter)),
         data = list(cohort = as.character(d$cohort), pair = d$pair, person = d$person,
                     role = as.character(d$role), wave = as.character(d$wave), score = d$score),
         x = unname(X), cell = as.character(d$cell), gls_loglik = as.numeric(logLik(fit)),
         gls_beta = unname(coef(fit)), gls_vcov = unname(as.matrix(vcov(fit)))), dense)
}

components <- list(); unstructured <- list(); seed <- 100
kinds <- c("complete", "missing", "tied", "weak")
for (pairs in c(6, 9, 12, 20, 30)) for (cohorts in 1:3) for (kind in kinds) {
  seed <- seed + 1
  components[[length(components) + 1]] <- components_case(pairs, cohorts, kind, seed = seed)
}
for (pairs in c(9, 20)) for (kind in c("complete", "missing", "weak")) {
  seed <- seed + 1
  components[[length(components) + 1]] <-
    components_case(pairs, 2, kind, waves = c("pre", "post", "later"), seed = seed)
  components[[length(components) + 1]] <-
    components_case(pairs, 2, kind, roles = "doctor", seed = seed + 500)
}
for (pairs in c(12, 20, 30)) for (cohorts in 1:3) for (kind in c("complete", "missing")) {
  seed <- seed + 1
  unstructured[[length(unstructured) + 1]] <- unstructured_case(pairs, cohorts, kind, seed = seed)
}
packages <- c("lme4", "lmerTest", "pbkrtest", "emmeans", "nlme", "numDeriv")
versions <- c(R = paste(R.version$major, R.version$minor, sep = "."),
              sapply(packages, function(p) as.character(packageVersion(p))))
write_json(list(versions = as.list(versions), components = components, unstructured = unstructured),
           file.path(here, "mixed.json"), digits = NA, auto_unbox = TRUE, matrix = "rowmajor")
