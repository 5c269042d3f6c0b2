# The rivals of bench.py in R. Reads the folder of inputs as its argument, then task names from standard input;
# answers each with the elapsed seconds of one run and its number.
packages <- c("coin", "exactRankTests", "lmerTest", "pbkrtest", "ordinal")
suppressPackageStartupMessages(for (p in packages) library(p, character.only = TRUE))
folder <- commandArgs(TRUE)[1]
read <- function(name) read.csv(file.path(folder, paste0(name, ".csv")))
ranks <- read("signed_rank")$d
flips <- read("sign_flip")$steps
shift <- read("hodges_lehmann")$d
scores <- read("mixed")
answers <- read("clmm")
answers$y <- factor(answers$y)

tasks <- list(
  "coin signed_rank" = function() pvalue(wilcoxsign_test(ranks ~ rep(0, length(ranks)), zero.method = "Pratt",
                                                         distribution = "exact")),
  "exactRankTests sign_flip" = function() perm.test(flips, paired = FALSE, exact = TRUE)$p.value,
  "exactRankTests hodges_lehmann" = function() wilcox.exact(shift, conf.int = TRUE, exact = TRUE)$conf.int[1],
  "lmerTest mixed" = function() {
    fit <- lmer(score ~ cohort + role * wave + (1 | pair) + (1 | person), scores)
    contestMD(fit, diag(length(fixef(fit)))[length(fixef(fit)), , drop = FALSE], ddf = "Kenward-Roger")[["Pr(>F)"]]
  },
  "ordinal clmm" = function() as.numeric(logLik(clmm(y ~ wave + (1 | person) + (1 | item), answers)))
)
versions <- c(R = as.character(getRversion()), sapply(packages, function(p) as.character(packageVersion(p))))
cat(paste(names(versions), versions, collapse = ", "), "\n", sep = "")
input <- file("stdin", "r")
while (length(name <- readLines(input, n = 1))) {
  before <- Sys.time()
  value <- suppressWarnings(suppressMessages(tasks[[name]]()))
  cat(sprintf("%.6f %.12g\n", as.numeric(Sys.time() - before, units = "secs"), value))
}
