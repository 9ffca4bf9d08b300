# Rscript stops.R [folder]: where lme4's default optimizer stops, for each of cases.json: evaluations,
# theta, what VarCorr and fixef print, isSingular. They go to stops.json.
#
# `steady` says whether the place is a property of the model: the path is followed again, ten times,
# with a criterion that is moved at random by up to four units in its last place. Where that leads
# elsewhere (flat and singular optima), another BLAS does, too.
#
# `refit` is to the response in reverse order. Only where REML is off or there is one fixed effect:
# lme4 1.1-31's refit counts one fixed effect for REML, however many there are.
#
# diag, cs and ar1 are lme4 2.0's, followed here as its source has them: its parameters, bounds and
# start, and the criterion of the same model without a structure.
suppressMessages(library(lme4))
source("../common.R")
folder <- c(commandArgs(trailingOnly = TRUE), ".")[1]
cases <- jsonlite::fromJSON("cases.json", simplifyDataFrame = FALSE)
SAME <- 1e-6  # of theta, relative where theta is above 1

ar1_factor <- function(rho, k) {
  outer(1:k, 1:k, function(i, j) ifelse(i < j, 0, rho^(i - j) * ifelse(j == 1, 1, sqrt(1 - rho^2))))
}
cs_factor <- function(rho, k) t(chol((1 - rho) * diag(k) + rho))
structures <- list(
  diag = list(hom = FALSE, rho = numeric(), factor = function(rho, k) diag(k)),
  cs = list(hom = FALSE, rho = 0, lower = function(k) -1 / (k - 1), factor = cs_factor),
  ar1 = list(hom = TRUE, rho = 0, lower = function(k) -1, factor = ar1_factor)
)

# name, homogeneity and formula without the structure of the one term that has one
structure_of <- function(text) {
  for (name in names(structures)) {
    if (!grepl(paste0("\\b", name, "\\("), text)) next
    s <- structures[[name]]
    hom <- if (grepl("hom = ", text)) grepl("hom = TRUE", text) else s$hom
    bare <- sub(paste0("\\b", name, "\\("), "(", sub(", hom = [A-Z]+", "", text))
    return(c(s, list(name = name, is_hom = hom, bare = bare)))
  }
  NULL
}

quietly <- function(x) suppressWarnings(suppressMessages(x))

place <- function(f, start, lower, upper = rep(Inf, length(lower))) {
  o <- quietly(nloptwrap(start, f, lower, upper))
  list(feval = o$feval, theta = o$par)
}

is_steady <- function(f, start, lower, upper = rep(Inf, length(lower))) {
  first <- place(f, start, lower, upper)
  all(vapply(1:10, function(seed) {
    set.seed(seed)
    moved <- function(p) f(p) * (1 + .Machine$double.eps * sample(-4:4, 1))
    again <- place(moved, start, lower, upper)
    again$feval == first$feval &&
      all(abs(again$theta - first$theta) <= SAME * pmax(1, abs(first$theta)))
  }, NA))
}

one <- function(case) {
  d <<- read_data(case$data)
  if (!is.null(case$subset)) d <<- d[eval(parse(text = case$subset), d), ]
  s <- structure_of(case$formula)
  args <- list(as.formula(if (is.null(s)) case$formula else s$bare), quote(d), REML = case$REML)
  if (!is.null(case$weights)) args$weights <- as.name(case$weights)
  if (!is.null(case$contrasts)) args$contrasts <- lapply(case$contrasts, function(k) paste0("contr.", k))
  if (!is.null(case$start)) args$start <- unlist(case$start)
  if (!is.null(s)) args$control <- lmerControl(check.nobs.vs.nRE = "ignore")  # as lme4 2.0
  f <- quietly(do.call(lmer, c(args, devFunOnly = TRUE)))
  begin <- environment(f)$pp$theta + 0
  if (!is.null(args$start)) begin <- args$start
  lower <- environment(f)$lower
  if (!is.null(s)) {
    k <- round((sqrt(8 * length(lower) + 1) - 1) / 2)
    n <- if (s$is_hom) 1 else k
    theta <- function(par) {
      L <- diag(rep_len(par[1:n], k)) %*% s$factor(par[-(1:n)], k)
      L[lower.tri(L, TRUE)]
    }
    g <- function(par) f(theta(par))
    from <- c(rep(1, n), s$rho)
    low <- c(rep(0, n), if (length(s$rho)) s$lower(k))
    up <- c(rep(Inf, n), if (length(s$rho)) 1)
    found <- place(g, from, low, up)
    return(list(id = case$id, steady = is_steady(g, from, low, up), feval = found$feval,
                theta = I(found$theta)))
  }
  m <- quietly(do.call(lmer, args))
  out <- list(
    id = case$id, steady = is_steady(f, begin, lower), feval = m@optinfo$feval,
    theta = I(unname(getME(m, "theta"))), singular = isSingular(m),
    VarCorr = sub(" +$", "", capture.output(print(VarCorr(m)))),
    fixef = I(sprintf("%.7g", fixef(m)))
  )
  if (isTRUE(case$refit)) {
    again <- quietly(refit(m, rev(model.response(model.frame(m)))))
    out$refit <- list(feval = again@optinfo$feval, theta = I(unname(getME(again, "theta"))))
  }
  out
}

keep_json(lapply(cases, one), file.path(folder, "stops.json"), 12)
