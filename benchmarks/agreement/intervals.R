# Profile and Wald intervals of lme4; standard errors of log SDs and atanh correlations from the
# numerical Hessian that lmerTest keeps. Profiles in steps four times finer than lme4's default,
# because its splines are off in the third digit where a profile bends.
suppressMessages({ library(lme4); library(lmerTest); library(numDeriv) })
source("../../tests/reference/common.R")

ext <- read_data("sleep_ext"); classroom <- read_data("classroom")
fits <- list(
  sleepstudy = lme4::lmer(Reaction ~ Days + (Days | Subject), read_data("sleepstudy")),
  "double bar" = lme4::lmer(Reaction ~ Days + (Days || Subject), read_data("sleepstudy")),
  Dyestuff = lme4::lmer(Yield ~ 1 + (1 | Batch), read_data("Dyestuff")),
  Dyestuff2 = lme4::lmer(Yield ~ 1 + (1 | Batch), read_data("Dyestuff2")),
  Penicillin = lme4::lmer(diameter ~ 1 + (1 | plate) + (1 | sample), read_data("Penicillin")),
  Pastes = lme4::lmer(strength ~ 1 + (1 | batch/cask), read_data("Pastes")),
  offset = lme4::lmer(Reaction ~ Days + offset(off) + (Days | Subject), ext),
  "rank-deficient X" = lme4::lmer(Reaction ~ Days + x2 + noise + (1 | Subject), ext),
  weights = lme4::lmer(Reaction ~ Days + (Days | Subject), ext, weights = w),
  M14 = lme4::lmer(mathscore ~ ses + (ses | schoolid), classroom),
  M17 = lme4::lmer(mathscore ~ ses + (ses | schoolid) + (1 | classid), classroom)
)

run <- function(name) {
  fit <- fits[[name]]
  # with prior weights lme4's profiles of fixed effects are wrong (far narrower than Wald's)
  which <- if (name == "weights") "theta_" else NULL
  p <- suppressWarnings(if (is.null(which)) profile(fit, delta.cutoff = 1/32)
                        else profile(fit, which = which, delta.cutoff = 1/32))
  ci <- suppressWarnings(confint(p))
  wald <- suppressMessages(confint(fit, method = "Wald"))
  list(id = name, names = rownames(ci), lower = unname(ci[, 1]), upper = unname(ci[, 2]),
       wald = unname(wald[names(fixef(fit)), , drop = FALSE]), fixef = names(fixef(fit)))
}

se_log <- function(REML) {
  fit <- lmerTest::lmer(Reaction ~ Days + (Days | Subject), read_data("sleepstudy"), REML = REML,
                        control = tight)
  v <- c(getME(fit, "theta"), sigma(fit))
  f <- function(v) {
    s <- v[4]; r <- sqrt(v[2]^2 + v[3]^2)
    c(log(s * abs(v[1])), log(s * r), atanh(v[2] / r), log(s))
  }
  J <- jacobian(f, v)
  sqrt(diag(J %*% fit@vcov_varpar %*% t(J)))
}

write_json(list(cases = lapply(names(fits), run), se_reml = se_log(TRUE), se_ml = se_log(FALSE)))
