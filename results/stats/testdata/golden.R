# SPDX-License-Identifier: Apache-2.0
# Makes golden.txt: random cases and what R says of them. R --vanilla --slave -f golden.R --args N > golden.txt
# Written with R 4.2.2, coin 1.4-2, diptest 0.76-0. Tests only read golden.txt.
suppressMessages({library(coin); library(diptest)})
n.cases <- as.integer(tail(commandArgs(TRUE), 1))
set.seed(20261123)
fmt <- function(x) paste(sprintf("%.17g", x), collapse=",")
out <- function(name, ...) { cat(paste(c(name, sapply(list(...), fmt)), collapse="|"), "\n", sep="") }
draw <- function(n, ties) {
  x <- switch(sample(4, 1), rlnorm(n, 3, .3), rnorm(n, 100, 9), c(rnorm(n %/% 2, 50, 1), rnorm(n - n %/% 2, 70, 3)), rexp(n))
  if (ties) round(x / 3) else x
}
for (i in 1:n.cases) {
  small <- i %% 4 != 0
  n1 <- if (small) sample(2:14, 1) else sample(15:70, 1)
  n2 <- if (small) sample(2:14, 1) else sample(15:70, 1)
  a <- draw(n1, FALSE); b <- draw(n2, FALSE)
  w <- wilcox.test(a, b, exact = n1 * n2 <= 2500, correct = TRUE)
  out("mannwhitney", a, b, w$statistic, w$p.value)
  if (n1 * n2 <= 2500 && 2 / choose(n1 + n2, n1) < .05) {
    w <- wilcox.test(b, a, exact = TRUE, conf.int = TRUE)
    out("shift", a, b, w$estimate, w$conf.int)
    a1 <- abs(a) + 1; b1 <- abs(b) + 1
    w <- wilcox.test(log(b1), log(a1), exact = TRUE, conf.int = TRUE)
    out("ratio", a1, b1, exp(w$estimate), exp(w$conf.int))
  }
  a <- draw(n1, TRUE); b <- draw(n2, TRUE)
  if (length(unique(c(a, b))) > 1) {
    if (n1 * n2 <= 900) {
      d <- data.frame(v = c(a, b), g = factor(rep(c("a", "b"), c(n1, n2))))
      p <- as.numeric(pvalue(wilcox_test(v ~ g, data = d, distribution = "exact")))
    } else p <- wilcox.test(a, b, exact = FALSE, correct = TRUE)$p.value
    out("mannwhitney", a, b, suppressWarnings(wilcox.test(a, b)$statistic), p)
  }
  n <- if (small) sample(4:9, 1) else sample(10:40, 1)
  x <- draw(n, FALSE); y <- x * runif(1, -1, 1) + draw(n, FALSE)
  s <- if (n <= 9) cor.test(x, y, method = "spearman", exact = TRUE) else cor.test(rank(x), rank(y))
  out("spearman", x, y, s$estimate, s$p.value)
  y <- draw(n, FALSE) + seq_len(n) * runif(1, -1, 1)
  k <- cor.test(seq_len(n), y, method = "kendall", exact = TRUE)
  slopes <- outer(y, y, "-") / outer(seq_len(n), seq_len(n), "-")
  out("drift", y, k$estimate, k$p.value, median(slopes[lower.tri(slopes)]))
  y <- round(y / 3)
  if (length(unique(y)) > 1 && any(duplicated(y))) {
    k <- suppressWarnings(cor.test(seq_len(n), y, method = "kendall", exact = FALSE, continuity = TRUE))
    slopes <- outer(y, y, "-") / outer(seq_len(n), seq_len(n), "-")
    out("drift", y, k$estimate, k$p.value, median(slopes[lower.tri(slopes)]))
  }
  x <- draw(sample(4:120, 1), i %% 3 == 0)
  out("dip", x, dip(x))
  p <- runif(sample(1:12, 1))^3
  out("adjust", p, p.adjust(p, "holm"), p.adjust(p, "BH"))
  out("quantile", x, quantile(x, c(0, .01, .25, .5, .9, .99, 1), names = FALSE), IQR(x), mad(x, constant = 1))
}
