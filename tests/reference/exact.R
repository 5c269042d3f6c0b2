# Reference values for plresearch/exact.py. Run in this folder: Rscript exact.R
# Every sample is given as whole numbers and a denominator: R ranks the whole numbers (no float ties),
# Python receives post / denominator - pre / denominator and has to find the ties itself.
suppressPackageStartupMessages({
  library(coin)
  library(exactRankTests)
  library(jsonlite)
})
set.seed(20240611)
options(warn = -1)
alternatives <- c("two.sided", "greater", "less")

sample_pairs <- function(n, kind) {
  switch(kind,
    untied = {
      d <- sample(setdiff(-300:400, 0), n) ; d <- d[!duplicated(abs(d))]
      while (length(d) < n) {
        more <- sample(setdiff(-300:400, 0), 1)
        if (!abs(more) %in% abs(d)) d <- c(d, more)
      }
      pre <- sample(100:500, n, TRUE); list(pre = pre, post = pre + d, q = 100)
    },
    half = list(pre = sample(2:10, n, TRUE), post = sample(2:10, n, TRUE), q = 2),
    thirds = list(pre = sample(3:12, n, TRUE), post = sample(5:15, n, TRUE), q = 3),
    mean12 = list(pre = sample(20:45, n, TRUE), post = sample(22:50, n, TRUE), q = 12),
    unchanged = {
      pre <- sample(4:20, n, TRUE); move <- sample(c(0, 0, 0, 1, 1, 2, -1), n, TRUE)
      list(pre = pre, post = pre + move, q = 4)
    },
    equal = { pre <- sample(4:16, n, TRUE); list(pre = pre, post = pre + 3, q = 4) })
}

# p of all 2^n signs by enumeration, on whole numbers
flip_p <- function(d) {
  n <- length(d)
  sums <- 0
  for (a in abs(d)) sums <- c(sums + a, sums - a)
  c(less = mean(sums <= sum(d)), greater = mean(sums >= sum(d)))
}
two_sided <- function(p) min(1, 2 * min(p))

paired <- list()
for (n in c(1:20, 50)) for (kind in c("untied", "half", "thirds", "mean12", "unchanged", "equal")) {
  s <- sample_pairs(n, kind)
  d <- s$post - s$pre
  case <- list(kind = kind, n = n, pre = I(s$pre), post = I(s$post), q = s$q)
  changed <- sum(d != 0)
  if (changed > 0) {
    coin_p <- function(zero, alternative) as.numeric(pvalue(wilcoxsign_test(d ~ rep(0, n),
      distribution = "exact", zero.method = zero, alternative = alternative)))
    case$pratt <- setNames(lapply(alternatives, function(a) coin_p("Pratt", a)), alternatives)
    case$wilcox_coin <- setNames(lapply(alternatives, function(a) coin_p("Wilcoxon", a)), alternatives)
    case$wilcox_exact <- setNames(lapply(alternatives, function(a)
      wilcox.exact(d, alternative = a, exact = TRUE)$p.value), alternatives)
    case$v_wilcox <- unname(wilcox.exact(d, exact = TRUE)$statistic)
    r <- rank(abs(d)); case$v_pratt <- sum(r[d > 0])
    case$sign <- setNames(lapply(alternatives, function(a)
      binom.test(sum(d > 0), changed, alternative = a)$p.value), alternatives)
    case$perm_test <- setNames(lapply(alternatives, function(a)
      perm.test(d, rep(0, n), paired = TRUE, alternative = a, exact = TRUE)$p.value), alternatives)
  }
  if (n <= 15) case$flips <- as.list(flip_p(d))
  walsh <- outer(d, d, "+") / 2
  case$hodges_lehmann <- median(walsh[upper.tri(walsh, diag = TRUE)])
  if (kind == "untied" && n >= 6) {
    case$base <- lapply(c(.8, .9, .95), function(level) {
      w <- wilcox.test(d, exact = TRUE, conf.int = TRUE, conf.level = level)
      list(level = level, p = w$p.value, low = w$conf.int[1], high = w$conf.int[2],
           estimate = unname(w$estimate))
    })
  }
  paired[[length(paired) + 1]] <- case
}

# intervals by inverting a p-value function at candidate shifts and in the gaps between them;
# the closure of { shift : p > 1 - level }
invert <- function(candidates, p_of, level) {
  candidates <- sort(unique(candidates))
  k <- length(candidates)
  gaps <- c(candidates[1] - 1, (candidates[-1] + candidates[-k]) / 2, candidates[k] + 1)
  alpha <- 1 - level
  at <- vapply(candidates, p_of, 0) > alpha
  within <- vapply(gaps, p_of, 0) > alpha
  low_edge <- c(-Inf, candidates); high_edge <- c(candidates, Inf)
  list(low = min(c(candidates[at], low_edge[within])), high = max(c(candidates[at], high_edge[within])))
}
pratt_p <- function(d) {
  if (all(d == 0)) return(1)
  as.numeric(pvalue(wilcoxsign_test(d ~ rep(0, length(d)), distribution = "exact", zero.method = "Pratt")))
}
wilcoxon_p <- function(d) {
  if (all(d == 0)) return(1)
  wilcox.exact(d, exact = TRUE)$p.value
}
subset_means <- function(d) {
  sums <- 0; sizes <- 0
  for (v in d) { sums <- c(sums, sums + v); sizes <- c(sizes, sizes + 1) }
  sums[-1] / sizes[-1]
}
intervals <- list()
for (n in c(2, 4:8, 12)) for (kind in c("half", "thirds", "unchanged")) for (level in c(.8, .95)) {
  s <- sample_pairs(n, kind)
  d <- s$post - s$pre
  walsh <- outer(d, d, "+") / 2
  case <- list(kind = kind, n = n, pre = I(s$pre), post = I(s$post), q = s$q, level = level)
  # shifts are multiples of 1/4: ranks are taken of whole numbers 4 (d - m)
  case$pratt <- invert(as.vector(walsh), function(m) pratt_p(round(4 * (d - m))), level)
  case$wilcox <- invert(as.vector(walsh), function(m) wilcoxon_p(round(4 * (d - m))), level)
  if (n <= 7) {
    whole <- 2 * 420^2 # makes every midpoint of two subset means of up to seven values a whole number
    p_of <- function(m) two_sided(flip_p(round(whole * (d - m))))
    case$flip <- invert(round(subset_means(d) * 420) / 420, p_of, level)
  }
  intervals[[length(intervals) + 1]] <- case
}

groups <- list()
grouping_p <- function(x, y, statistic = mean) {
  pooled <- c(x, y)
  chosen <- combn(length(pooled), length(x))
  sums <- colSums(matrix(pooled[chosen], nrow = length(x)))
  c(less = mean(sums <= sum(x)), greater = mean(sums >= sum(x)))
}
sizes <- list(c(1, 3), c(2, 2), c(2, 5), c(3, 3), c(3, 6), c(4, 4), c(5, 4), c(5, 6), c(6, 6), c(3, 11),
              c(9, 5), c(8, 8), c(10, 7), c(12, 12), c(20, 15))
for (size in sizes) for (kind in c("untied", "ties", "few")) {
  n <- sum(size)
  v <- switch(kind, untied = sample(1:400, n), ties = sample(1:9, n, TRUE),
              few = sample(c(0, 0, 0, 1, 2), n, TRUE))
  if (length(unique(v)) == 1) v[1] <- v[1] + 1
  x <- v[seq_len(size[1])]; y <- v[-seq_len(size[1])]
  g <- factor(rep(c("x", "y"), size), levels = c("x", "y"))
  case <- list(kind = kind, x = I(x), y = I(y), q = c(untied = 7, ties = 3, few = 12)[[kind]])
  case$rank_coin <- setNames(lapply(alternatives, function(a)
    as.numeric(pvalue(coin::wilcox_test(v ~ g, distribution = "exact", alternative = a)))), alternatives)
  case$rank_exact <- setNames(lapply(alternatives, function(a)
    wilcox.exact(x, y, alternative = a, exact = TRUE)$p.value), alternatives)
  case$u <- sum(outer(x, y, ">")) + sum(outer(x, y, "==")) / 2
  if (kind == "untied") case$rank_base <- setNames(lapply(alternatives, function(a)
    wilcox.test(x, y, alternative = a, exact = TRUE)$p.value), alternatives)
  case$mean_coin <- setNames(lapply(alternatives, function(a)
    as.numeric(pvalue(oneway_test(v ~ g, distribution = "exact", alternative = a)))), alternatives)
  if (n <= 8) {
    m <- size[1]; k <- size[2]; candidates <- numeric(0)
    for (j in seq_len(min(m, k))) {
      a <- if (m == 1) x else combn(m, j, function(i) mean(x[i]))
      b <- if (k == 1) y else combn(k, j, function(i) mean(y[i]))
      candidates <- c(candidates, as.vector(outer(a, b, "-")))
    }
    candidates <- round(candidates * 840) / 840
    whole <- 2 * 840 # midpoints of two candidates become whole numbers
    case$interval <- lapply(c(.8, .95), function(level) c(list(level = level), invert(candidates,
      function(m) two_sided(grouping_p(round(whole * (x - m)), round(whole * y))), level)))
  }
  groups[[length(groups) + 1]] <- case
}

mcnemar <- list()
for (b in 0:10) for (c in 0:10) if (b + c > 0) {
  t <- binom.test(b, b + c)
  mcnemar[[length(mcnemar) + 1]] <- list(b = b, c = c, p = t$p.value,
    share_low = t$conf.int[1], share_high = t$conf.int[2])
}

# Stuart-Maxwell by the formula on the categories that have discordant answers, and coin's mh_test
stuart <- function(tab) {
  moved <- tab + t(tab); diag(moved) <- 0
  keep <- rowSums(moved) > 0
  moved <- moved[keep, keep, drop = FALSE]
  x <- (rowSums(tab) - colSums(tab))[keep]
  v <- diag(rowSums(moved)) - moved
  last <- nrow(v)
  as.numeric(x[-last] %*% solve(v[-last, -last, drop = FALSE]) %*% x[-last])
}
connected <- function(tab) {
  moved <- tab + t(tab); diag(moved) <- 0
  keep <- rowSums(moved) > 0
  reach <- (moved[keep, keep, drop = FALSE] > 0) + diag(sum(keep))
  for (i in 1:6) reach <- ((reach %*% reach) > 0) + 0
  all(reach > 0)
}
tables <- list(matrix(c(1520, 234, 117, 36, 266, 1512, 362, 82, 124, 432, 1772, 179, 66, 78, 205, 492), 4))
while (length(tables) < 41) {
  k <- sample(3:5, 1)
  tab <- matrix(rpois(k * k, sample(c(.4, 1, 3), 1)), k)
  if (connected(tab) && sum(tab) > sum(diag(tab))) tables <- c(tables, list(tab))
}
stuart_maxwell <- lapply(tables, function(tab) {
  labelled <- as.table(tab); dimnames(labelled) <- list(pre = seq_len(nrow(tab)), post = seq_len(nrow(tab)))
  test <- mh_test(labelled)
  moved <- tab + t(tab); diag(moved) <- 0
  df <- sum(rowSums(moved) > 0) - 1
  statistic <- stuart(tab)
  list(table = tab, statistic = statistic, df = df, p = pchisq(statistic, df, lower.tail = FALSE),
       coin_statistic = as.numeric(statistic(test)), coin_p = as.numeric(pvalue(test)))
})

permutations <- function(v) {
  if (length(v) < 2) return(matrix(v, 1))
  do.call(rbind, lapply(seq_along(v), function(i) cbind(v[i], permutations(v[-i]))))
}
spearman <- list()
for (n in 3:7) for (kind in c("untied", "ties", "few")) {
  draw <- function() switch(kind, untied = sample(1:50, n), ties = sample(1:4, n, TRUE),
                            few = c(1, 2, sample(1:2, n - 2, TRUE)))
  x <- draw(); y <- draw()
  while (length(unique(x)) < 2) x <- draw()
  while (length(unique(y)) < 2) y <- draw()
  rx <- 2 * rank(x) - (n + 1); ry <- 2 * rank(y) - (n + 1)
  values <- as.vector(matrix(ry[permutations(seq_len(n))], ncol = n) %*% rx)
  observed <- sum(rx * ry)
  case <- list(kind = kind, x = I(x), y = I(y), rho = cor(x, y, method = "spearman"),
               p = two_sided(c(mean(values <= observed), mean(values >= observed))),
               p_distance = mean(abs(values) >= abs(observed)))
  if (kind == "untied") case$cor_test <- cor.test(x, y, method = "spearman", exact = TRUE)$p.value
  spearman[[length(spearman) + 1]] <- case
}

# step-down maxT with all signs of whole rows, |t| compared after rounding
step_down <- function(d) {
  n <- nrow(d); k <- ncol(d)
  abs_t <- function(m) round(abs(colSums(m)) / sqrt(colSums(d^2)), 9)
  observed <- abs_t(d); order_t <- order(-observed)
  signs <- as.matrix(expand.grid(rep(list(c(1, -1)), n)))
  flips <- apply(signs, 1, function(s) abs_t(s * d))
  adjusted <- numeric(k)
  for (i in seq_len(k)) {
    rest <- flips[order_t[i:k], , drop = FALSE]
    adjusted[order_t[i]] <- mean(apply(rest, 2, max) >= observed[order_t[i]])
  }
  adjusted[order_t] <- cummax(adjusted[order_t])
  list(p = rowMeans(flips >= observed), adjusted = adjusted,
       t = apply(d, 2, function(v) unname(t.test(v)$statistic)))
}
max_t <- list()
for (n in c(4, 6, 8, 10)) for (k in c(2, 3, 5)) {
  d <- matrix(sample(-4:8, n * k, TRUE), n) + rep(sample(-2:4, n, TRUE), k)
  max_t[[length(max_t) + 1]] <- c(list(d = d), step_down(d))
}

versions <- list(R = as.character(getRversion()), coin = as.character(packageVersion("coin")),
                 exactRankTests = as.character(packageVersion("exactRankTests")),
                 jsonlite = as.character(packageVersion("jsonlite")))
rival <- wilcox.test(c(-1, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 3), conf.int = TRUE)
write_json(list(versions = versions, paired = paired, intervals = intervals, groups = groups,
                mcnemar = mcnemar, stuart_maxwell = stuart_maxwell, spearman = spearman, max_t = max_t,
                rival = list(p = rival$p.value, estimate = unname(rival$estimate), low = rival$conf.int[1],
                             high = rival$conf.int[2])),
           "exact.json", digits = NA, auto_unbox = TRUE)
