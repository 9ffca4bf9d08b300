# Writes nestedmlm/_data/*.csv and schema.json from the data sets of the R package lme4.
# Run from the root of the repository: Rscript tools/export_lme4_data.R
# The CSV files hold the values; schema.json holds each factor's levels, in R's order.

names <- c("sleepstudy", "Pastes", "Penicillin", "Dyestuff", "Dyestuff2", "cake", "cbpp", "grouseticks")
folder <- file.path("nestedmlm", "_data")
source_env <- new.env()
utils::data(list = names, package = "lme4", envir = source_env)

quoted <- function(x) paste0("\"", x, "\"")

factor_json <- function(column) {
  paste0("{\"levels\": [", paste(quoted(levels(column)), collapse = ", "),
         "], \"ordered\": ", if (is.ordered(column)) "true" else "false", "}")
}

dataset_json <- function(frame) {
  factors <- frame[vapply(frame, is.factor, logical(1))]
  entries <- paste0("    ", quoted(names(factors)), ": ", vapply(factors, factor_json, ""))
  paste0("{\n", paste(entries, collapse = ",\n"), "\n  }")
}

frames <- lapply(names, get, envir = source_env)
for (i in seq_along(names)) {
  write.csv(frames[[i]], file.path(folder, paste0(names[i], ".csv")), row.names = FALSE,
            quote = vapply(frames[[i]], is.factor, logical(1)) |> which() |> unname())
}
schema <- paste0("  ", quoted(names), ": ", vapply(frames, dataset_json, ""))
writeLines(c("{", paste(schema, collapse = ",\n"), "}"), file.path(folder, "schema.json"))
cat("lme4", as.character(utils::packageVersion("lme4")), "\n")
