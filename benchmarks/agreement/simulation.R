# Rscript simulation.R: bootstrap standard errors, bootstrap and exact tests, with their draws.
suppressMessages({library(lme4); library(pbkrtest); library(RLRsim)})
source("../../tests/reference/common.R")
sleepstudy <- read_data("sleepstudy"); classroom <- read_data("classroom")
pastes <- read_data("Pastes"); dyestuff <- read_data("Dyestuff"); cake <- read_data("cake")
quietly <- function(x) suppressWarnings(suppressMessages(x))
fit <- function(formula, data, REML = TRUE) {  # PBmodcomp looks the data up by name
  call <- as.call(list(quote(lmer), formula, data = substitute(data), REML = REML,
                       control = quote(tight)))
  quietly(eval(call, globalenv()))
}
exact <- function(..., nsim = 100000) {
  found <- quietly(exactRLRT(..., nsim = nsim, seed = 1))
  list(statistic = unname(found$statistic), p = found$p.value, nsim = nsim,
       quantiles = unname(quantile(found$sample, c(.75, .9, .95, .99))))
}
bootstrap_test <- function(large, small, nsim) {
  found <- quietly(PBmodcomp(large, small, nsim = nsim, seed = 1))
  # all draws count, as in the textbook formula; PBmodcomp itself counts the positive ones only
  list(statistic = found$test["LRT", "stat"], nsim = nsim,
       p = (1 + sum(found$ref >= found$test["LRT", "stat"])) / (1 + nsim))
}
standard_errors <- function(m, nsim) {
  f <- function(m) c(fixef(m), as.data.frame(VarCorr(m))$sdcor)
  draws <- quietly(bootMer(m, f, nsim = nsim, seed = 1))$t
  centred <- sweep(draws, 2, colMeans(draws))
  se <- apply(draws, 2, sd)
  list(se = unname(se), kurtosis = unname(colMeans(centred^4) / se^4), nsim = nsim)
}
slopes <- fit(Reaction ~ Days + (Days | Subject), sleepstudy)
casks <- function(f) fit(f, pastes, FALSE)
cakes <- function(f) fit(f, cake, FALSE)
write_json(list(
  rlrt = list(
    Dyestuff = exact(fit(Yield ~ 1 + (1 | Batch), dyestuff)),
    sleepstudy = exact(fit(Reaction ~ Days + (0 + Days | Subject), sleepstudy),
                       fit(Reaction ~ Days + (1 | Subject) + (0 + Days | Subject), sleepstudy),
                       fit(Reaction ~ Days + (1 | Subject), sleepstudy)),
    classroom = exact(fit(mathscore ~ ses + (1 | classid), classroom),
                      fit(mathscore ~ ses + (ses | schoolid) + (1 | classid), classroom),
                      fit(mathscore ~ ses + (ses | schoolid), classroom))),
  test = list(
    cake = bootstrap_test(cakes(angle ~ recipe + temperature + (1 | recipe:replicate)),
                          cakes(angle ~ temperature + (1 | recipe:replicate)), 300),
    sleepstudy = bootstrap_test(
      fit(Reaction ~ Days + I(Days^2) + (Days | Subject), sleepstudy, FALSE),
      fit(Reaction ~ Days + (Days | Subject), sleepstudy, FALSE), 300),
    batches = bootstrap_test(casks(strength ~ 1 + (1 | sample) + (1 | batch)),
                             casks(strength ~ 1 + (1 | sample)), 300)),
  se = list(sleepstudy = standard_errors(slopes, 600),
            Dyestuff = standard_errors(fit(Yield ~ 1 + (1 | Batch), dyestuff), 600))
))
