# lme4 in a process of its own; speaks what worker.py speaks (read its head first).
#   Rscript worker.R                          serve requests
#   Rscript worker.R plain                    the same without the numerical derivatives at the end
#   Rscript worker.R CSV FACTORS FORMULA      one cold fit
seconds <- function() as.numeric(Sys.time())
began <- seconds()
suppressMessages(library(lme4))
imported <- seconds()
options(warn = -1)

say <- function(...) {
  cat(..., sep = "\t")
  cat("\n")
  flush(stdout())
}
number <- function(x) sprintf("%.17g", x)

memory <- function(name) {
  status <- tryCatch(readLines("/proc/self/status"), error = function(e) character())
  line <- grep(paste0("^", name, ":"), status, value = TRUE)
  if (length(line)) as.numeric(gsub("[^0-9]", "", line)) else NaN
}
forget_peak <- function() {
  tryCatch(cat("5", file = "/proc/self/clear_refs"), error = function(e) NULL)
}

read <- function(path, factors) {
  names <- strsplit(factors, ",", fixed = TRUE)[[1]]
  read.csv(path, colClasses = setNames(rep("factor", length(names)), names))
}
cpu <- function() sum(proc.time()[1:2])
args <- commandArgs(trailingOnly = TRUE)
plain <- length(args) == 1
settings <- function(...) lmerControl(..., calc.derivs = !plain)
once <- function(formula, data, control = settings()) {
  start <- seconds()
  spent <- cpu()
  fit <- suppressMessages(lmer(as.formula(formula), data, control = control))
  elapsed <- seconds() - start
  list(fit = fit, seconds = elapsed, cpu = cpu() - spent)
}

if (length(args) == 3) {
  after_import <- memory("VmRSS")
  data <- read(args[1], args[2])
  invisible(gc())
  loaded <- seconds()
  after_data <- memory("VmRSS")
  forget_peak()
  done <- once(args[3], data)
  say("ok", number(imported - began), number(loaded - imported), number(done$seconds),
      number(REMLcrit(done$fit)), after_import, after_data, memory("VmHWM"), number(cpu()))
  quit()
}

info <- sessionInfo()
say("ready", as.character(packageVersion("lme4")), as.character(getRversion()),
    info$BLAS, info$LAPACK)
data <- NULL
base <- NULL
responses <- NULL
at <- 0
requests <- list(
  load = function(path, factors) {
    data <<- read(path, factors)
    "ok"
  },
  fit = function(formula, optimizer = "") {
    control <- if (nzchar(optimizer)) settings(optimizer = optimizer) else settings()
    done <- once(formula, data, control)
    info <- done$fit@optinfo
    # a singular fit is a message too, not a failure
    complaints <- grep("singular", info$conv$lme4$messages, value = TRUE, invert = TRUE)
    converged <- length(complaints) == 0 && info$conv$opt == 0
    c("ok", number(done$seconds), number(REMLcrit(done$fit)), info$feval,
      as.integer(converged), number(done$cpu))
  },
  refits = function(formula, path) {
    base <<- once(formula, data)$fit
    responses <<- matrix(readBin(path, "double", file.size(path) / 8), nrow = nrow(data))
    at <<- 0
    "ok"
  },
  more = function(count) {
    start <- seconds()
    columns <- at + seq_len(as.integer(count))
    criteria <- vapply(columns, function(j) {
      REMLcrit(suppressMessages(refit(base, newresp = responses[, j])))
    }, 0)
    elapsed <- seconds() - start
    at <<- max(columns)
    c("ok", number(elapsed), number(criteria))
  }
)
jobs <- file("stdin", open = "r")
while (length(line <- readLines(jobs, n = 1)) > 0) {
  request <- strsplit(line, "\t", fixed = TRUE)[[1]]
  answer <- tryCatch(do.call(requests[[request[1]]], as.list(request[-1])),
    error = function(e) c("error", gsub("[\t\n]", " ", conditionMessage(e))))
  do.call(say, as.list(answer))
}
