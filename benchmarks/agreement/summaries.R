# emmeans, emtrends, performance and broom.mixed on models that exercise every branch.
suppressMessages({
  library(lme4); library(lmerTest); library(emmeans); library(performance); library(broom.mixed)
})
source("common.R")
emm_options(msg.interaction = FALSE, msg.nesting = FALSE)

cake <- read_data("cake"); sleep <- read_data("sleepstudy"); ext <- read_data("sleep_ext")
oats <- read_data("Oats"); sim <- read_data("sim"); body <- read_data("BodyWeight")
hsb <- read_data("Hsb82"); pastes <- read_data("Pastes"); ortho <- read_data("Orthodont")
classroom <- read_data("classroom"); machines <- read_data("Machines"); exam <- read_data("Exam")

# unequal cells, a two-valued covariate, a nested fixed factor, an empty cell
sim$two <- ifelse(sim$z > 0, 1, 3)
sim$half <- factor(ifelse(seq_len(nrow(sim)) %% 5 < 2, "u", "v"))
sim$w <- 1 + (seq_len(nrow(sim)) %% 7) / 3
sim$inner <- factor(paste0(sim$f, 1 + seq_len(nrow(sim)) %% 3))
sim$rep <- factor(1 + seq_len(nrow(sim)) %% 3)
sim$dose <- c(1, 2, 4)[1 + seq_len(nrow(sim)) %% 3]
gap <- sim[!(sim$f == "hi" & sim$half == "v"), ]

fits <- list(
  cake = lmer(angle ~ recipe * temperature + (1 | recipe:replicate), cake, control = tight),
  cake_temp = lmer(angle ~ recipe * temp + (1 | recipe:replicate), cake, control = tight),
  oats = lmer(yield ~ factor(nitro) + Variety + (1 | Block/Variety), oats, control = tight),
  cross = lmer(y ~ x * f + half + (x | g1) + (1 | g2), sim, control = tight),
  weights = lmer(y ~ f * half + x + (1 | g1), sim, weights = w, control = tight),
  two = lmer(y ~ two * f + (1 | g1), sim, control = tight),
  log = lmer(log(y + 20) ~ log(z + 5) + f + (1 | g1), sim, control = tight),
  poly = lmer(y ~ poly(x, 2) * half + (1 | g1), sim, control = tight),
  logical = lmer(y ~ I(x > 0) + f + (1 | g1), sim, control = tight),
  offset = lmer(y ~ f + x + offset(z) + (1 | g1), sim, control = tight),
  gap = lmer(y ~ f * half + (1 | g1), gap, control = tight),
  nested = lmer(y ~ f + inner + (1 | g1), sim, control = tight),
  slash = lmer(y ~ f / rep + (1 | g1), sim, control = tight),
  ml = lmer(y ~ f * x + (1 | g1), sim, REML = FALSE, control = tight),
  body = lmer(weight ~ Time * Diet + (Time | Rat), body, control = tight),
  sum = lmer(y ~ f * half + (1 | g1), sim, contrasts = list(f = "contr.sum"), control = tight),
  dose = lmer(y ~ factor(dose) * x + (1 | g1), sim, control = tight)
)

numbers <- function(e, infer = c(TRUE, TRUE), ...) {
  s <- summary(e, infer = infer, ...)
  low <- if ("lower.CL" %in% names(s)) s$lower.CL else s$asymp.LCL
  high <- if ("upper.CL" %in% names(s)) s$upper.CL else s$asymp.UCL
  stat <- if ("t.ratio" %in% names(s)) s$t.ratio else s$z.ratio
  df <- ifelse(is.infinite(s$df), 1e300, s$df)
  label <- names(s)[seq_len(which(names(s) == "SE") - 2)]
  key <- do.call(paste, c(lapply(s[label], as.character), sep = "|"))
  list(keys = key, estimate = s[[attr(s, "estName")]], std_error = s$SE, df = df, conf_low = low,
       conf_high = high, statistic = stat, p_value = s$p.value)
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

shares_of <- function(m) {
  i <- icc(m); r <- r2(m)
  c(i$ICC_adjusted, i$ICC_unadjusted, r$R2_marginal, r$R2_conditional)
}
models <- list(
  sleep_int = lmer(Reaction ~ Days + (1 | Subject), sleep, control = tight),
  sleep_corr = lmer(Reaction ~ Days + (Days | Subject), sleep, control = tight),
  pastes = lmer(strength ~ 1 + (1 | batch/cask), pastes, control = tight),
  class_M17 = lmer(mathscore ~ ses + (ses | schoolid) + (1 | classid), classroom, control = tight),
  exam = lmer(normexam ~ standLRT + schgend + (1 | school), exam, REML = FALSE, control = tight),
  hsb = lmer(mAch ~ meanses * cses + sector * cses + (cses | school), hsb, control = tight),
  oats = fits$oats, body = fits$body, cross = fits$cross
)
shares <- lapply(models, shares_of)
by_group <- list(
  icc = lapply(models[c("sleep_int", "pastes", "exam", "oats")],
               function(m) icc(m, by_group = TRUE)$ICC),
  r2 = lapply(models[c("sleep_int", "exam")], function(m) r2(m, by_group = TRUE)$R2)
)

tidied <- lapply(models, function(m) {
  fixed <- tidy(m, "fixed", conf.int = TRUE); pars <- tidy(m, "ran_pars")
  vals <- tidy(m, "ran_vals", conf.int = TRUE); coefs <- tidy(m, "ran_coefs")
  list(
    fixed = unname(as.matrix(fixed[c("estimate", "std.error", "statistic", "df", "p.value",
                                     "conf.low", "conf.high")])),
    terms = fixed$term, ran_pars = pars$estimate, ran_terms = paste(pars$group, pars$term),
    vcov = tidy(m, "ran_pars", scales = "vcov")$estimate,
    ran_vals = unname(as.matrix(vals[c("estimate", "std.error", "conf.low", "conf.high")])),
    vals_keys = paste(vals$group, vals$term, vals$level),
    ran_coefs = coefs$estimate, coefs_keys = paste(coefs$group, coefs$term, coefs$level)
  )
})
rows <- lapply(c(models, list(weights = fits$weights, offset = fits$offset)), function(m) {
  a <- augment(m)
  g <- glance(m)
  columns <- c(".fitted", ".resid", ".hat", ".cooksd", ".fixed", ".mu", ".offset", ".sqrtXwt",
               ".sqrtrwt", ".weights", ".wtres")
  list(
    augment = unname(as.matrix(as.data.frame(a)[columns])),
    glance = c(g$nobs, g$sigma, g$logLik, g$AIC, g$BIC,
               if (isREML(m)) g$REMLcrit else g$deviance, g$df.residual)
  )
})

write_json(list(means = means, trends = trends, contrasts = contrasts, shares = shares,
                by_group = by_group, tidy = tidied, rows = rows))
