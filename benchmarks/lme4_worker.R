# Started by bench_fit.py. Reads one job a line from standard input, CSV file <TAB> formula, fits it
# with lme4's defaults and answers one line: milliseconds <TAB> REML criterion.
suppressMessages(library(lme4))
options(warn = -1)
cat(as.character(packageVersion("lme4")), as.character(getRversion()), sep = "\t")
cat("\n")
flush(stdout())

frames <- list()
frame_of <- function(path) {
  if (is.null(frames[[path]])) {
    # identifiers are quoted in the file: strings become factors
    frames[[path]] <<- read.csv(path, stringsAsFactors = TRUE)
  }
  frames[[path]]
}

jobs <- file("stdin", open = "r")
while (length(line <- readLines(jobs, n = 1)) > 0) {
  job <- strsplit(line, "\t", fixed = TRUE)[[1]]
  data <- frame_of(job[1])
  formula <- as.formula(job[2])
  start <- Sys.time()
  fit <- suppressMessages(lmer(formula, data))
  elapsed <- as.numeric(Sys.time() - start, units = "secs")
  cat(sprintf("%.6f\t%.12f\n", 1000 * elapsed, REMLcrit(fit)))
  flush(stdout())
}
