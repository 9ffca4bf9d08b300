# performance and broom.mixed: shares of variance, tidy tables, rows of fits.
suppressMessages({library(lme4); library(lmerTest); library(performance); library(broom.mixed)})
source("../../tests/reference/common.R")
source("../../tests/reference/means/models.R")

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

write_json(list(shares = shares, by_group = by_group, tidy = tidied, rows = rows))
