# Rscript prints.R [folder]: what R prints of fits by lme4 (a text file each) and their numbers.
#
# The wording is that of lme4 2.x (`-2*log(L)` for `deviance`); trailing blanks and the lines on
# convergence are left out. The numbers, to twelve digits, are where lme4's optimizer stopped: they
# test the printing, not the fits.
suppressMessages(library(lme4))
source("../common.R")
options(width = 80, useFancyQuotes = FALSE)
folder <- c(commandArgs(trailingOnly = TRUE), ".")[1]

classroom_df <- read_data("classroom")
cake <- read_data("cake"); Dyestuff2 <- read_data("Dyestuff2"); Pastes <- read_data("Pastes")
Penicillin <- read_data("Penicillin"); sleepstudy <- read_data("sleep_ext")

M14 <- lmer(mathscore ~ ses + (ses | schoolid), classroom_df)
M15 <- suppressWarnings(lmer(mathscore ~ ses + (ses | schoolid) + (ses | classid), classroom_df))
M16 <- lmer(mathscore ~ ses + (ses | schoolid) + (ses || classid), classroom_df)
M17 <- lmer(mathscore ~ ses + (ses | schoolid) + (1 | classid), classroom_df)
fits <- list(
  M14 = M14, M15 = M15, M16 = M16, M17 = M17,
  sleep_reml = lmer(Reaction ~ Days + (Days | Subject), sleepstudy),
  sleep_ml = lmer(Reaction ~ Days + (Days | Subject), sleepstudy, REML = FALSE),
  sleep_quadratic = lmer(Reaction ~ Days + I(Days^2) + (Days + I(Days^2) | Subject), sleepstudy),
  sleep_weights = lmer(Reaction ~ Days + (Days | Subject), sleepstudy, weights = w, offset = off),
  pastes = lmer(strength ~ 1 + (1 | batch/cask), Pastes),
  cake = lmer(angle ~ recipe * temperature + (1 | recipe:replicate), cake),
  dyestuff2 = lmer(Yield ~ 1 + (1 | Batch), Dyestuff2),
  no_fixed = lmer(Reaction ~ 0 + (Days | Subject), sleepstudy, REML = FALSE),
  penicillin = lmer(diameter ~ (1 | plate) + (1 | sample), Penicillin)
)

# lme4 2.x prints the deviance under this name
renamed <- function(names) sub("^deviance$", "-2*log(L)", names)
original <- lme4:::.prt.aictab
assignInNamespace(".prt.aictab", function(aictab, ...) {
  names(aictab) <- renamed(names(aictab))
  original(aictab, ...)
}, "lme4")

printed <- function(x) {
  lines <- sub(" +$", "", suppressMessages(capture.output(print(x))))
  end <- grep("^optimizer \\(", lines)
  if (length(end)) lines[seq_len(end[1] - 1)] else lines
}

numbers <- function(m) {
  frame <- m@call
  ic <- c(AIC(m), BIC(m), as.numeric(logLik(m)))
  list(
    formula = paste(trimws(deparse(formula(m), width.cutoff = 500)), collapse = " "),
    data = deparse(frame$data),
    weights = if (is.null(frame$weights)) NULL else deparse(frame$weights),
    offset = if (is.null(frame$offset)) NULL else deparse(frame$offset),
    REML = isREML(m), reml = if (isREML(m)) REMLcrit(m) else NULL, ic = ic,
    df_resid = df.residual(m), npar = attr(logLik(m), "df"), nobs = nobs(m),
    ngrps = as.list(sapply(m@flist, nlevels)), sigma = sigma(m),
    blocks = lapply(names(VarCorr(m)), function(name) {
      v <- VarCorr(m)[[name]]
      list(name, I(colnames(v)), unname(matrix(v, nrow(v))))
    }),
    names = I(as.character(names(fixef(m)))), beta = I(unname(fixef(m))),
    se = I(unname(sqrt(diag(as.matrix(vcov(m)))))), vcov = unname(as.matrix(vcov(m))),
    resid = unname(quantile(residuals(m, "pearson", scaled = TRUE)))
  )
}

anovas <- suppressMessages(anova(M14, M17, M16))
ml <- lapply(split(as.data.frame(anovas)[1:4], rownames(anovas)), function(r) unname(unlist(r)))
names(anovas) <- renamed(names(anovas))
texts <- c(
  lapply(fits, function(m) list(summary = summary(m), print = m, VarCorr = VarCorr(m))),
  list(anova = list("M14, M17, M16" = anovas, M17 = anova(M17),
                    sleep_weights = anova(fits$sleep_weights)))
)
for (name in names(texts)) {
  sections <- Map(function(x, title) c(paste("#", title), printed(x)), texts[[name]],
                  names(texts[[name]]))
  writeLines(unlist(sections), file.path(folder, paste0(name, ".txt")))
}
keep_json(list(fits = lapply(fits, numbers), ml = ml), file.path(folder, "prints.json"), 12)
