# What the scripts of tests/reference/ and benchmarks/agreement/ share.

# Data as the Python side reads them: columns of schema.json are factors with those levels.
read_data <- function(name) {
  folder <- Sys.getenv("NESTEDMLM_DATA")
  d <- read.csv(file.path(folder, paste0(name, ".csv")), check.names = FALSE)
  schema <- jsonlite::fromJSON(file.path(folder, "schema.json"), simplifyVector = TRUE)[[name]]
  for (column in names(schema)) {
    spec <- schema[[column]]
    d[[column]] <- factor(as.character(d[[column]]), levels = spec$levels, ordered = spec$ordered)
  }
  d
}

# Fits go on until the optimum: lme4's defaults stop at a relative 1e-5 of theta.
tight <- lme4::lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-12, maxfun = 1e5),
                           calc.derivs = FALSE, check.conv.singular = "ignore")

# Printed in full, for a comparison that is made at once; NA, Inf and NaN are strings.
write_json <- function(results) {
  cat(jsonlite::toJSON(results, digits = NA, auto_unbox = TRUE, na = "string", null = "null"))
}

# Kept beside the script with so many significant digits, a row of numbers to a line.
keep_json <- function(results, file, digits) {
  text <- jsonlite::toJSON(results, digits = I(digits), auto_unbox = TRUE, na = "string",
                           null = "null", pretty = 1)
  rows <- gregexpr("\\[[^][{}]*\\]", text)
  regmatches(text, rows) <- list(gsub("\\s*\n\\s*", " ", regmatches(text, rows)[[1]]))
  writeLines(gsub("(\\S) \\]", "\\1]", gsub("\\[ ", "[", text)), file)
}
