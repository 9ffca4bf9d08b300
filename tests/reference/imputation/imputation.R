# Rscript imputation.R [folder]: pooled fits of mice and mitml, to nine digits in imputation.json. The
# imputations are sines, so that Python makes the same; fits are polished to the optimum.
suppressMessages({library(lme4); library(mice); library(mitml); library(broom.mixed)})
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
# the example of mitml's help pages, and mice's pooling of the same fits
ratings <- read.csv("studentratings.csv")
imputed <- lapply(1:5, function(k) {
  data.frame(ID = ratings$ID, ReadAchiev = ratings$ReadAchiev, SES = ratings[[paste0("SES", k)]],
             ReadDis = ratings[[paste0("ReadDis", k)]])
})
ses <- fitted(SES ~ 1 + (1 | ID))
reading <- fitted(ReadAchiev ~ ReadDis + (1 | ID))
both_ml <- fitted(ReadAchiev ~ ReadDis + SES + (1 | ID), FALSE)
none_ml <- fitted(ReadAchiev ~ 1 + (1 | ID), FALSE)
extra <- function(fits) I(unname(testEstimates(fits, extra.pars = TRUE)$extra.pars[, 1]))
of_mice <- function(fits) {
  s <- summary(pool(as.mira(unclass(fits)), dfcom = 748))  # of its own it takes off variances, too
  list(estimate = I(s$estimate), std_error = I(s$std.error), df = I(s$df), p_value = I(s$p.value))
}

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
  "mitml D3, random" = test(testModels(small_ml, intercepts, method = "D3")),
  "ratings, SES" = estimates(testEstimates(ses)$estimates),
  "ratings, SES, variances" = extra(ses),
  "ratings, reading" = estimates(testEstimates(reading)$estimates),
  "ratings, reading, variances" = extra(reading),
  "ratings, reading, mice, 748 df" = of_mice(reading),
  "ratings, D1" = test(testModels(both_ml, none_ml, method = "D1", df.com = 747)),
  "ratings, D2" = test(testModels(both_ml, none_ml, method = "D2", use = "likelihood")),
  "ratings, D3" = test(testModels(both_ml, none_ml, method = "D3"))
)
keep_json(results, file.path(c(given, ".")[1], "imputation.json"), 9)
