# Rscript hypotheses.R [folder]: tests of emmeans against other values, one-sided, with a margin, and
# joint tests, to nine digits in hypotheses.json. Fits are polished to the optimum.
suppressMessages({library(lme4); library(lmerTest); library(emmeans)})
source("../common.R")
setwd("../means"); source("models.R"); setwd("../hypotheses")
emm_options(msg.interaction = FALSE, msg.nesting = FALSE, msg.data.call = FALSE)
given <- commandArgs(trailingOnly = TRUE)

exact <- glmerControl(optimizer = "bobyqa", tolPwrss = 1e-13, check.conv.grad = "ignore",
                      optCtrl = list(rhoend = 1e-10, maxfun = 1e5))
sim$high <- as.integer(sim$y > median(sim$y))
sim$count <- floor(abs(sim$y))
whole <- list(
  cbpp = glmer(cbind(incidence, size - incidence) ~ period + (1 | herd), cbpp, binomial,
               control = exact),
  cloglog = glmer(cbind(incidence, size - incidence) ~ period + (1 | herd), cbpp,
                  binomial("cloglog"), control = exact),
  ticks = glmer(TICKS ~ YEAR + (1 | BROOD), grouseticks, poisson, control = exact),
  high = glmer(high ~ f * half + (1 | g1), sim, binomial, control = exact),
  count = glmer(count ~ f * x + half + (1 | g1), sim, poisson, control = exact)
)
fits <- c(fits, whole)

numbers <- function(e, ...) {
  s <- suppressMessages(summary(e, infer = TRUE, ...))
  low <- if ("lower.CL" %in% names(s)) s$lower.CL else s$asymp.LCL
  high <- if ("upper.CL" %in% names(s)) s$upper.CL else s$asymp.UCL
  stat <- if ("t.ratio" %in% names(s)) s$t.ratio else s$z.ratio
  null <- if ("null" %in% names(s)) s$null else rep(0, nrow(s))
  lapply(list(estimate = s[[attr(s, "estName")]], std_error = s$SE, df = s$df, conf_low = low,
              conf_high = high, null = null, statistic = stat, p_value = s$p.value), I)
}

# variable of the means, and what they are tested against on the scale of the predictor
asked <- list(cake = list("recipe", 30, 1.5), oats = list("nitro", 100, 10),
              cross = list("f", 1, 0.4), two = list("f", 2, 0.3), sum = list("half", 1, 0.2),
              cbpp = list("period", -2, 0.5), cloglog = list("period", -1.5, 0.4),
              ticks = list("YEAR", log(2), 0.3), high = list("f", 0.2, 0.5),
              count = list("f", log(1.5), 0.2))
tests <- list()
for (name in names(asked)) {
  one <- asked[[name]]
  means <- emmeans(fits[[name]], one[[1]])
  pairs <- pairs(means)
  tests[[name]] <- list(
    "null" = numbers(means, null = one[[2]]),
    "above" = numbers(means, null = one[[2]], side = ">"),
    "below response" = numbers(means, null = one[[2]], side = "<", type = "response"),
    "null response" = numbers(means, null = one[[2]], type = "response"),
    "pairs equivalence" = numbers(pairs, delta = one[[3]]),
    "pairs noninferiority holm" = numbers(pairs, delta = one[[3]], side = ">", adjust = "holm"),
    "pairs nonsuperiority none" = numbers(pairs, delta = one[[3]], side = "<", adjust = "none"),
    "pairs above response" = numbers(pairs, side = ">", type = "response", adjust = "bonferroni"),
    "pairs below fdr" = numbers(pairs, side = "<", null = one[[3]], adjust = "fdr"),
    "control equivalence" = numbers(contrast(means, "trt.vs.ctrl"), delta = one[[3]],
                                    null = one[[3]] / 2),
    "control above" = numbers(contrast(means, "trt.vs.ctrl"), side = ">")
  )
}

joint <- function(t) {
  lapply(list(term = as.character(t[["model term"]]), num_df = t$df1, den_df = t$df2, statistic = t$F.ratio,
              p_value = t$p.value), I)
}
# emmeans names rows of a grid twice where an offset is in it, and stops
plain <- fits[setdiff(names(fits), "offset")]
terms <- lapply(plain, function(fit) joint(suppressMessages(joint_tests(fit))))
wald <- lapply(plain, function(fit)
  joint(suppressMessages(joint_tests(fit, lmer.df = "asymptotic"))))
within <- list(
  "cake recipe" = joint(joint_tests(fits$cake, by = "recipe")),
  "cross half" = joint(joint_tests(fits$cross, by = "half")),
  "high half" = joint(joint_tests(fits$high, by = "half")),
  "count f" = joint(joint_tests(fits$count, by = "f"))
)
rows <- list(
  cake = joint(test(emmeans(fits$cake, "recipe"), joint = TRUE, null = 30)),
  cbpp = joint(test(pairs(emmeans(fits$cbpp, "period")), joint = TRUE)),
  count = joint(test(emmeans(fits$count, "half", by = "f"), joint = TRUE, null = 0.4))
)
found <- list(tests = tests, terms = terms, wald = wald, within = within, rows = rows)
keep_json(found, file.path(if (length(given)) given[1] else ".", "hypotheses.json"), 9)
