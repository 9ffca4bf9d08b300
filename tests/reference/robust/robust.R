# Rscript robust.R [folder]: clubSandwich's cluster-robust covariances of lme4's fits, its
# Satterthwaite tests and Hotelling's T-squared tests (Pustejovsky & Tipton 2018), to nine digits in
# robust.json. The second fit is the example of clubSandwich's help page. Fits are polished to the optimum.
suppressMessages({library(lme4); library(clubSandwich)})
source("../common.R")
given <- commandArgs(trailingOnly = TRUE)

sleep <- read_data("sleepstudy"); single <- read_data("egsingle"); ortho <- read_data("Orthodont")
single <- droplevels(subset(single, schoolid %in% levels(schoolid)[1:10]))

fits <- list(
  sleep = lmer(Reaction ~ Days + (Days | Subject), sleep, control = tight),
  egsingle = lmer(math ~ year * size + female + black + hispanic + (1 | schoolid) + (1 | childid),
                  single, control = tight),
  orthodont = lmer(distance ~ age * Sex + (1 | Subject), ortho, REML = FALSE, control = tight)
)
together <- list(sleep = 1:2, egsingle = c(4, 5, 6), orthodont = 3:4)

one <- function(fit, type) {
  V <- vcovCR(fit, type = type)
  list(vcov = I(unname(as.matrix(V))))
}
tested <- function(fit, columns) {
  V <- vcovCR(fit, type = "CR2")
  rows <- coef_test(fit, vcov = V, test = "Satterthwaite")
  joint <- Wald_test(fit, constraints = constrain_zero(columns), vcov = V, test = "HTZ")
  list(keys = I(names(fixef(fit))), estimate = I(rows$beta), std_error = I(rows$SE),
       df = I(rows$df), p_value = I(rows$p_Satt), joint = columns,
       F = joint$Fstat, num_df = joint$df_num, den_df = joint$df_denom, p_joint = joint$p_val)
}
results <- lapply(names(fits), function(name) {
  types <- c("CR0", "CR1", "CR2", "CR3")
  c(lapply(setNames(types, types), function(type) one(fits[[name]], type)),
    list(tests = tested(fits[[name]], together[[name]])))
})
names(results) <- names(fits)
keep_json(results, file.path(c(given, ".")[1], "robust.json"), 9)
