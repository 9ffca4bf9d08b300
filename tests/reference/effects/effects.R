# Rscript effects.R [folder]: lmerTest's and pbkrtest's numbers for each of cases.json, which go
# to effects.json with nine digits. Rscript effects.R --print cases.json prints all digits instead.
#
# F tables have Sum Sq, NumDF, DenDF, F value, Pr(>F), coefficients Std. Error, df, Pr(>|t|);
# contests have L = diag(p)[-1, ] and rhs = 0.5.
suppressMessages({library(lmerTest); library(pbkrtest)})
source("../common.R")
given <- commandArgs(trailingOnly = TRUE)
live <- identical(given[1], "--print")
cases <- jsonlite::fromJSON(if (live) given[2] else "cases.json", simplifyDataFrame = FALSE)

data_of <- function(case) {
  if (is.null(case$package)) return(read_data(case$data))
  data(list = case$data, package = case$package, envir = environment())
  as.data.frame(get(case$data))
}

f_table <- function(x) {
  x <- as.matrix(x[, c("Sum Sq", "NumDF", "DenDF", "F value", "Pr(>F)")])
  rbind(x[!is.na(x[, 4]), , drop = FALSE], x[is.na(x[, 4]), , drop = FALSE])
}
quietly <- function(x) tryCatch(suppressWarnings(suppressMessages(x)), error = function(e) NULL)

one <- function(case) {
  d <<- data_of(case)
  if (isTRUE(case$empty_cell)) d <<- subset(d, !(cond == "a" & halves == "early"))
  args <- list(formula = as.formula(case$formula), data = quote(d), REML = case$REML,
               control = quote(tight))
  if (!is.null(case$weights)) args$weights <- as.name(case$weights)
  if (!is.null(case$contrasts)) args$contrasts <- lapply(case$contrasts, function(k) paste0("contr.", k))
  m <- eval(as.call(c(list(quote(lmerTest::lmer)), args)))
  out <- list(id = case$id, names = names(fixef(m)))
  if (!is.null(case$package)) {
    keep <- intersect(all.vars(as.formula(case$formula)), names(d))
    out$columns <- lapply(d[keep], function(x) if (is.factor(x)) as.character(x) else x)
    out$levels <- lapply(Filter(is.factor, d[keep]), levels)
    out$ordered <- lapply(Filter(is.factor, d[keep]), is.ordered)
  }
  out$satterthwaite <- unname(coef(summary(m))[, c("Std. Error", "df", "Pr(>|t|)"), drop = FALSE])
  for (type in c("I", "II", "III"))
    out[[paste("anova", type)]] <- unname(f_table(quietly(anova(m, type = type))))
  p <- length(fixef(m))
  if (p > 1) {
    L <- diag(p)[-1, , drop = FALSE]
    out$contest <- unname(f_table(contest(m, L, rhs = 0.5)))
    out$contest_rows <- unname(as.matrix(contest(m, L, rhs = 0.5, joint = FALSE)))
    out$drop1 <- unname(f_table(quietly(drop1(m))))
    chisq <- quietly(drop1(as(m, "lmerMod"), test = "Chisq"))
    if (!is.null(chisq)) out$drop1_chisq <- unname(as.matrix(chisq))
  }
  if (case$REML && is.null(case$weights)) {
    kr <- coef(summary(m, ddf = "Kenward-Roger"))
    out$kr <- unname(kr[, c("Std. Error", "df", "Pr(>|t|)"), drop = FALSE])
    out$kr_anova <- unname(f_table(quietly(anova(m, ddf = "Kenward-Roger"))))
    out$vcovAdj <- unname(as.matrix(vcovAdj(m)))
    if (p > 1) out$kr_contest <- unname(f_table(contest(m, L, rhs = 0.5, ddf = "Kenward-Roger")))
  }
  r <- quietly(ranova(m))
  if (!is.null(r)) { out$ranova <- unname(as.matrix(r)); out$ranova_rows <- rownames(r) }
  r <- quietly(ranova(m, reduce.terms = FALSE))
  if (!is.null(r)) out$ranova_whole <- unname(as.matrix(r))
  if (isTRUE(case$step)) {
    s <- quietly(step(m))
    out$step_random <- unname(as.matrix(s$random)); out$step_fixed <- unname(as.matrix(s$fixed))
    out$step_rows <- rownames(s$fixed)
  }
  out
}
answers <- lapply(cases, one)
if (live) write_json(answers) else {
  names(answers) <- sapply(cases, function(case) case$id)
  kept <- lapply(answers, function(a) a[setdiff(names(a), c("id", "names", "ranova_rows", "step_rows"))])
  keep_json(kept, file.path(c(given, ".")[1], "effects.json"), 9)
}
