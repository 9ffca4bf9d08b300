# CPU seconds of glmer and glmmTMB for one model: Rscript bench_glmm.R model.json; prints JSON
suppressMessages({library(lme4); library(jsonlite)})
m <- fromJSON(commandArgs(TRUE)[1])
d <- read.csv(m$data, stringsAsFactors = TRUE, na.strings = "NA")
for (f in m$factors) d[[f]] <- factor(d[[f]])
cpu <- function(expr) { t <- proc.time(); v <- force(expr); t <- proc.time() - t; list(v, sum(t[1:2])) }
f <- as.formula(m$formula)
d$bench_w <- if (is.null(m$weights)) rep(1, nrow(d)) else d[[m$weights]]
family <- get(m$family)(link = m$link)
best <- function(call, value) {
  seconds <- Inf
  for (i in seq_len(m$times)) {
    found <- tryCatch(suppressMessages(suppressWarnings(cpu(call()))), error = function(e) NULL)
    if (is.null(found)) return(list(seconds = NULL, criterion = NULL))
    seconds <- min(seconds, found[[2]])
  }
  list(seconds = seconds, criterion = value(found[[1]]))
}
out <- list(glmer = best(function() glmer(f, d, family = family, weights = bench_w, nAGQ = m$nAGQ),
                         function(v) -2 * as.numeric(logLik(v))))
if (m$nAGQ == 1 && requireNamespace("glmmTMB", quietly = TRUE))
  out$glmmTMB <- best(function() glmmTMB::glmmTMB(f, d, family = family, weights = bench_w),
                      function(v) -2 * as.numeric(logLik(v)))
cat(toJSON(out, auto_unbox = TRUE, digits = 12, null = "null"))
