# Rscript export.R PACKAGE DATASET PATH: one data set of an R package as CSV, factor labels with a
# letter in front so that nobody reads them as numbers.
args <- commandArgs(trailingOnly = TRUE)
data(list = args[2], package = args[1], envir = environment())
frame <- get(args[2])
codes <- vapply(frame, is.factor, TRUE)
frame[codes] <- lapply(frame[codes], function(f) paste0("g", f))
write.csv(frame, args[3], row.names = FALSE, quote = FALSE)
