# Reference values for plresearch.agreement. Kappa and its interval variance: psych::cohen.kappa. The null
# variance of kappa, Krippendorff's alpha and Gwet's AC1 and AC2 are written here from the definitions, by
# loops over pairs of codes (irr and irrCAC are not packaged for this system). Run from this folder: Rscript
# agreement.R
suppressPackageStartupMessages({library(psych); library(jsonlite)})

credit <- function(q, kind) {
  w <- matrix(0, q, q)
  for (i in 1:q) for (j in 1:q) w[i, j] <- switch(kind, identity = as.numeric(i == j),
    linear = 1 - abs(i - j) / (q - 1), quadratic = 1 - (i - j)^2 / (q - 1)^2)
  w
}

# Fleiss, Cohen & Everitt (1969), variance of weighted kappa when kappa is 0.
null_se <- function(table, w) {
  p <- table / sum(table); r <- rowSums(p); c <- colSums(p); q <- nrow(p)
  wr <- sapply(1:q, function(i) sum(w[i, ] * c)); wc <- sapply(1:q, function(j) sum(w[, j] * r))
  pe <- sum(w * outer(r, c)); s <- 0
  for (i in 1:q) for (j in 1:q) s <- s + r[i] * c[j] * (w[i, j] - (wr[i] + wc[j]))^2
  sqrt((s - pe^2) / sum(table)) / (1 - pe)
}

# Large-sample variance of (weighted) kappa by the delta method with a numerical gradient over the table's
# shares: what Fleiss, Cohen & Everitt (1969) derived. psych 2.2.9 agrees for plain kappa; for weighted
# kappa it sums the row shares along the wrong margin (`rowSums(w * rs)`), so its weighted standard error is
# not used.
delta_se <- function(table, w) {
  kappa <- function(p) {
    p <- p / sum(p); e <- outer(rowSums(p), colSums(p))
    (sum(w * p) - sum(w * e)) / (1 - sum(w * e))
  }
  p <- table / sum(table); h <- 1e-3
  slope <- sapply(seq_along(p), function(k) {
    at <- function(d) { x <- p; x[k] <- x[k] + d; kappa(x) }
    (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)
  })
  refined <- sapply(seq_along(p), function(k) {
    at <- function(d) { x <- p; x[k] <- x[k] + d; kappa(x) }
    (8 * (at(h / 2) - at(-h / 2)) - (at(h) - at(-h))) / (6 * h)
  })
  slope <- refined + (refined - slope) / 15
  sqrt((sum(p * slope^2) - sum(p * slope)^2) / sum(table))
}

# Krippendorff (2004): all ordered pairs of codes within units, then all ordered pairs in the data.
kripp <- function(x, q, metric) {
  x <- x[rowSums(!is.na(x)) > 1, , drop = FALSE]
  all <- as.vector(x[!is.na(x)]); size <- sapply(1:q, function(k) sum(all == k))
  d <- function(a, b) switch(metric, nominal = as.numeric(a != b), interval = (a - b)^2,
    ordinal = { lo <- min(a, b); hi <- max(a, b); (sum(size[lo:hi]) - (size[lo] + size[hi]) / 2)^2 })
  observed <- 0
  for (u in seq_len(nrow(x))) {
    v <- x[u, !is.na(x[u, ])]
    for (a in seq_along(v)) for (b in seq_along(v)) {
      if (a != b) observed <- observed + d(v[a], v[b]) / (length(v) - 1)
    }
  }
  expected <- 0
  for (a in seq_along(all)) for (b in seq_along(all)) if (a != b) expected <- expected + d(all[a], all[b])
  n <- length(all)
  1 - (observed / n) / (expected / (n * (n - 1)))
}

# Gwet (2008; 2014): agreement per unit over ordered pairs of coders, linearised variance.
gwet <- function(x, q, w, level) {
  x <- x[rowSums(!is.na(x)) > 0, , drop = FALSE]
  n <- nrow(x); share <- matrix(0, n, q); a <- rep(0, n); two <- rep(FALSE, n)
  for (u in 1:n) {
    v <- x[u, !is.na(x[u, ])]
    for (k in v) share[u, k] <- share[u, k] + 1 / length(v)
    if (length(v) > 1) {
      two[u] <- TRUE
      s <- 0
      for (i in seq_along(v)) for (j in seq_along(v)) if (i != j) s <- s + w[v[i], v[j]]
      a[u] <- s / (length(v) * (length(v) - 1))
    }
  }
  p <- colMeans(share); tw <- sum(w) / (q * (q - 1))
  pe <- tw * sum(p * (1 - p)); pa <- sum(a) / sum(two)
  g <- (pa - pe) / (1 - pe)
  gi <- (n / sum(two)) * (a - pe * two) / (1 - pe)
  pei <- sapply(1:n, function(u) tw * sum(share[u, ] * (1 - p)))
  star <- gi - 2 * (1 - g) * (pei - pe) / (1 - pe)
  se <- sqrt(sum((star - g)^2) / n / (n - 1))
  half <- qt((1 + level) / 2, n - 1) * se
  list(percent = pa, ac = g, se = se, low = max(-1, g - half), high = min(1, g + half))
}

# Gwet (2008), the closed form for two coders from the table (divisor n instead of n - 1).
gwet_table_se <- function(table, w) {
  p <- table / sum(table); q <- nrow(p); m <- (rowSums(p) + colSums(p)) / 2
  tw <- sum(w) / (q * (q - 1)); pe <- tw * sum(m * (1 - m)); pa <- sum(w * p); g <- (pa - pe) / (1 - pe)
  s <- 0
  for (i in 1:q) for (j in 1:q) s <- s + p[i, j] * (w[i, j] - 2 * (1 - g) * tw * (1 - (m[i] + m[j]) / 2))^2
  sqrt(s - (pa - 2 * (1 - g) * pe)^2) / sqrt(sum(table)) / (1 - pe)
}

kinds <- c("identity", "linear", "quadratic")
metrics <- c("nominal", "ordinal", "interval")
cases <- list()
grid <- expand.grid(n = c(8, 10, 25, 100), q = c(2, 3, 5), coders = c(2, 3, 4), missing = c(FALSE, TRUE),
                    rare = c(FALSE, TRUE))
for (i in seq_len(nrow(grid))) {
  g <- grid[i, ]
  set.seed(3000 + i)
  weight <- if (g$rare) c(12, rep(1, g$q - 1)) else rep(1, g$q)
  truth <- sample(g$q, g$n, TRUE, weight)
  x <- sapply(seq_len(g$coders), function(k) ifelse(runif(g$n) < 0.7, truth, sample(g$q, g$n, TRUE, weight)))
  if (g$missing) x[sample(length(x), round(0.15 * length(x)))] <- NA
  used <- as.vector(x[rowSums(!is.na(x)) > 1, ])
  if (length(unique(used[!is.na(used)])) < 2) next
  case <- list(ratings = x, q = g$q, level = c(0.95, 0.9)[1 + i %% 2],
    unanimous = mean(apply(x[rowSums(!is.na(x)) > 1, , drop = FALSE], 1,
                           function(v) length(unique(v[!is.na(v)])) == 1)),
    alpha = setNames(lapply(metrics, function(m) kripp(x, g$q, m)), metrics),
    gwet = setNames(lapply(kinds, function(k) gwet(x, g$q, credit(g$q, k), c(0.95, 0.9)[1 + i %% 2])), kinds))
  if (g$coders == 2 && !g$missing && all(apply(x, 2, function(v) length(unique(v))) > 1)) {
    table <- unclass(table(factor(x[, 1], 1:g$q), factor(x[, 2], 1:g$q)))
    case$kappa <- setNames(lapply(kinds, function(k) {
      w <- credit(g$q, k)
      r <- suppressWarnings(psych::cohen.kappa(table, w = w, alpha = 1 - case$level))
      weighted <- k != "identity"
      value <- if (weighted) r$weighted.kappa else r$kappa
      se <- delta_se(table, w)
      half <- qnorm((1 + case$level) / 2) * se
      list(value = value, se = se, se_null = null_se(table, w), low = max(-1, value - half),
           high = min(1, value + half), psych_se = sqrt(if (weighted) r$var.weighted else r$var.kappa))
    }), kinds)
    case$gwet_table_se <- setNames(lapply(kinds, function(k) gwet_table_se(table, credit(g$q, k))), kinds)
  }
  cases[[length(cases) + 1]] <- case
}
write_json(list(versions = list(R = as.character(getRversion()),
                                psych = as.character(packageVersion("psych"))),
                cases = cases), "agreement.json", digits = NA, auto_unbox = TRUE, null = "null", na = "null")
cat(length(cases), "cases,", sum(sapply(cases, function(c) !is.null(c$kappa))), "with kappa\n")
