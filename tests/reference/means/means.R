# Rscript means.R [folder]: means, slopes and contrasts of emmeans, to nine digits in means.json.
# Rscript means.R --print prints all digits instead. Fits are polished to the optimum.
suppressMessages({library(lme4); library(lmerTest); library(emmeans)})
source("../common.R")
source("models.R")
emm_options(msg.interaction = FALSE, msg.nesting = FALSE)
given <- commandArgs(trailingOnly = TRUE)

numbers <- function(e, infer = c(TRUE, TRUE), ...) {
  s <- summary(e, infer = infer, ...)
  low <- if ("lower.CL" %in% names(s)) s$lower.CL else s$asymp.LCL
  high <- if ("upper.CL" %in% names(s)) s$upper.CL else s$asymp.UCL
  stat <- if ("t.ratio" %in% names(s)) s$t.ratio else s$z.ratio
  label <- names(s)[seq_len(which(names(s) == "SE") - 2)]
  key <- do.call(paste, c(lapply(s[label], as.character), sep = "|"))
  columns <- list(keys = key, estimate = s[[attr(s, "estName")]], std_error = s$SE, df = s$df,
                  conf_low = low, conf_high = high, statistic = stat, p_value = s$p.value)
  lapply(columns, I)
}

means <- list(
  "cake recipe" = numbers(emmeans(fits$cake, "recipe")),
  "cake recipe | temperature" = numbers(emmeans(fits$cake, "recipe", by = "temperature")),
  "cake recipe, temperature" = numbers(emmeans(fits$cake, c("recipe", "temperature"))),
  "cake recipe satterthwaite" = numbers(emmeans(fits$cake, "recipe", lmer.df = "satterthwaite")),
  "cake recipe none" = numbers(emmeans(fits$cake, "recipe", lmer.df = "asymptotic")),
  "cake recipe level .9" = numbers(emmeans(fits$cake, "recipe"), level = 0.9),
  "cake_temp at two temps" =
    numbers(emmeans(fits$cake_temp, "recipe", at = list(temp = c(180, 200)), by = "temp")),
  "cake_temp averaged over at" =
    numbers(emmeans(fits$cake_temp, "recipe", at = list(temp = c(180, 200, 250)))),
  "cake_temp 1" = numbers(emmeans(fits$cake_temp, "1")),
  "oats nitro" = numbers(emmeans(fits$oats, "nitro")),
  "oats Variety" = numbers(emmeans(fits$oats, "Variety")),
  "oats at nitro" = numbers(emmeans(fits$oats, "Variety", at = list(nitro = c(0, 0.4)))),
  "cross f equal" = numbers(emmeans(fits$cross, "f")),
  "cross f proportional" = numbers(emmeans(fits$cross, "f", weights = "proportional")),
  "cross half outer" = numbers(emmeans(fits$cross, "half", weights = "outer")),
  "cross f cells" = numbers(emmeans(fits$cross, "f", weights = "cells")),
  "weights f" = numbers(emmeans(fits$weights, "f", lmer.df = "satterthwaite")),
  "weights f proportional" =
    numbers(emmeans(fits$weights, "f", lmer.df = "satterthwaite", weights = "proportional")),
  "weights f cells" = numbers(emmeans(fits$weights, "f", lmer.df = "satt", weights = "cells")),
  "two f" = numbers(emmeans(fits$two, "f")),
  "two f | two" = numbers(emmeans(fits$two, "f", by = "two")),
  "log f" = numbers(emmeans(fits$log, "f")),
  "poly half" = numbers(emmeans(fits$poly, "half")),
  "logical f" = numbers(emmeans(fits$logical, "f")),
  "offset f" = numbers(emmeans(fits$offset, "f")),
  "gap f" = numbers(emmeans(fits$gap, "f", lmer.df = "satterthwaite")),
  "gap f, half" = numbers(emmeans(fits$gap, c("f", "half"), lmer.df = "satterthwaite")),
  "gap f cells" = numbers(emmeans(fits$gap, "f", lmer.df = "satterthwaite", weights = "cells")),
  "gap f flat" = numbers(emmeans(fits$gap, "f", lmer.df = "satterthwaite", weights = "flat")),
  "nested f" = numbers(emmeans(fits$nested, "f", lmer.df = "satterthwaite")),
  "nested inner" = numbers(emmeans(fits$nested, "inner", lmer.df = "satterthwaite")),
  "slash f" = numbers(emmeans(fits$slash, "f")),
  "slash rep" = numbers(emmeans(fits$slash, "rep")),
  "ml f" = numbers(emmeans(fits$ml, "f", lmer.df = "satterthwaite")),
  "body Diet" = numbers(emmeans(fits$body, "Diet")),
  "sum f" = numbers(emmeans(fits$sum, "f")),
  "dose dose" = numbers(emmeans(fits$dose, "dose"))
)

trends <- list(
  "cake_temp recipe" = numbers(emtrends(fits$cake_temp, "recipe", var = "temp")),
  "cross f" = numbers(emtrends(fits$cross, "f", var = "x")),
  "body Diet" = numbers(emtrends(fits$body, "Diet", var = "Time")),
  "cross 1" = numbers(emtrends(fits$cross, "1", var = "x")),
  "log z" = numbers(emtrends(fits$log, "1", var = "z", delta.var = 1e-6)),
  "poly half" = numbers(emtrends(fits$poly, "half", var = "x", delta.var = 1e-6)),
  "dose x" = numbers(emtrends(fits$dose, "dose", var = "x"))
)

recipe <- emmeans(fits$cake, "recipe"); temperature <- emmeans(fits$cake, "temperature")
contrasts <- list(
  "cake pairs tukey" = numbers(pairs(recipe)),
  "cake pairs none" = numbers(pairs(recipe, adjust = "none")),
  "cake pairs holm" = numbers(pairs(recipe), adjust = "holm"),
  "cake pairs bonferroni" = numbers(pairs(recipe), adjust = "bonferroni"),
  "cake pairs sidak" = numbers(pairs(recipe), adjust = "sidak"),
  "cake pairs scheffe" = numbers(pairs(recipe), adjust = "scheffe"),
  "cake pairs fdr" = numbers(pairs(recipe), adjust = "fdr"),
  "cake revpairwise" = numbers(contrast(recipe, "revpairwise")),
  "cake trt.vs.ctrl" = numbers(contrast(recipe, "trt.vs.ctrl")),
  "cake trt.vs.ctrl ref C" = numbers(contrast(recipe, "trt.vs.ctrl", ref = 3)),
  "cake eff" = numbers(contrast(recipe, "eff")),
  "cake del.eff" = numbers(contrast(recipe, "del.eff")),
  "cake poly" = numbers(contrast(temperature, "poly")),
  "cake temperature pairs" = numbers(pairs(temperature)),
  "cake temperature consec holm" = numbers(contrast(temperature, "consec", adjust = "holm")),
  "cake temperature mean_chg none" = numbers(contrast(temperature, "mean_chg", adjust = "none")),
  "cake dict" = numbers(contrast(recipe, list("A - rest" = c(1, -0.5, -0.5)))),
  "cake pairs by" = numbers(pairs(emmeans(fits$cake, "recipe", by = "temperature"))),
  "cake both pairs" = numbers(pairs(emmeans(fits$cake_temp, c("recipe", "temp"),
                                            at = list(temp = c(180, 200))))),
  "body trends pairs" = numbers(pairs(emtrends(fits$body, "Diet", var = "Time"))),
  "gap pairs" = numbers(pairs(emmeans(fits$gap, "f", lmer.df = "satterthwaite"))),
  "gap pairs by" = numbers(pairs(emmeans(fits$gap, "f", by = "half", lmer.df = "satt"))),
  "nested pairs" = numbers(pairs(emmeans(fits$nested, "inner", lmer.df = "satterthwaite"))),
  "offset pairs" = numbers(pairs(emmeans(fits$offset, "f")))
)

results <- list(means = means, trends = trends, contrasts = contrasts)
if (identical(given[1], "--print")) {
  write_json(results)
} else {
  keep_json(results, file.path(c(given, ".")[1], "means.json"), 9)
}
