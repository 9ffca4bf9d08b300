# Rscript imputation.R [folder]: pooled fits of mice and mitml, to nine digits in imputation.json. The
# imputations are sines, so that Python makes the same; fits are polished to the optimum.
suppressMessages({library(lme4); library(mice); library(mitml)})
source("../common.R")
given <- commandArgs(trailingOnly = TRUE)

sleep <- read_data("sleepstudy")
sleep$g <- factor(c("a", "b", "c")[1 + as.integer(as.character(sleep$Subject)) %% 3])
gaps <- (seq_len(nrow(sleep)) - 1) %% 7 == 0
imputed <- lapply(1:5, function(k) {
  sleep$Reaction[gaps] <- sleep$Reaction[gaps] + 25 * sin(k * which(gaps))
  sleep
})
fitted <- function(formula, REML = TRUE) {
  fits <- lapply(imputed, function(d) {
    do.call(lmer, list(formula, data = d, REML = REML, control = tight))  # refitted by mitml
  })
  as.mitml.result(fits)
}
large <- fitted(Reaction ~ Days + g + (Days | Subject))
small <- fitted(Reaction ~ Days + (Days | Subject))
large_ml <- fitted(Reaction ~ Days + g + (Days | Subject), FALSE)
small_ml <- fitted(Reaction ~ Days + (Days | Subject), FALSE)
intercepts <- fitted(Reaction ~ Days + (1 | Subject), FALSE)

estimates <- function(e) {
  lapply(list(estimate = e[, "Estimate"], std_error = e[, "Std.Error"], df = e[, "df"],
              p_value = e[, "P(>|t|)"], riv = e[, "RIV"], fmi = e[, "FMI"]),
         function(x) I(unname(x)))
}
test <- function(t) {
  t <- t$test
  list(F = t[1, "F.value"], num_df = t[1, "df1"], den_df = t[1, "df2"], p_value = t[1, "P(>F)"],
       riv = t[1, "RIV"])
}
# mice's own pooling of the same numbers, with 176 residual degrees of freedom
scalars <- lapply(1:4, function(j) {
  pool.scalar(sapply(large, function(f) fixef(f)[j]), sapply(large, function(f) vcov(f)[j, j]),
              n = 177, k = 1)
})
results <- list(
  "mitml estimates" = estimates(testEstimates(large)$estimates),
  "mitml estimates, 176 df" = estimates(testEstimates(large, df.com = 176)$estimates),
  "mice pool.scalar, 176 df" = list(
    estimate = I(sapply(scalars, function(s) s$qbar)),
    std_error = I(sapply(scalars, function(s) sqrt(s$t))),
    df = I(sapply(scalars, function(s) s$df)), fmi = I(sapply(scalars, function(s) s$fmi)),
    riv = I(sapply(scalars, function(s) s$r))),
  "mitml D1" = test(testModels(large, small, method = "D1")),
  "mitml D1, 176 df" = test(testModels(large, small, method = "D1", df.com = 176)),
  "mitml D2" = test(testModels(large_ml, small_ml, method = "D2", use = "likelihood")),
  "mitml D3" = test(testModels(large_ml, small_ml, method = "D3")),
  "mitml D3, random" = test(testModels(small_ml, intercepts, method = "D3"))
)
keep_json(results, file.path(c(given, ".")[1], "imputation.json"), 9)
