# Rscript formulas.R [folder]: fills in fixed.txt and random.txt, whose first column is given.
#
# fixed.txt: right-hand side => terms, the first 1 or 0 for the intercept => how each variable of
# each term is coded (1 contrasts, 2 indicators) => columns of the model matrix.
# random.txt: terms => bars as written out => names in lme4's order => columns of each.
# Below the line "# not R" are spellings that R has not; they stay as they are.
suppressMessages(library(lme4))
folder <- c(commandArgs(trailingOnly = TRUE), ".")[1]

fixed_rows <- data.frame(
  y = c(3, 1, 4, 1.5, 5, 9), x = c(0.5, 1.2, 2.9, 3.1, 4.4, 6), z = c(2, 1, 4, 3, 6, 5),
  f = factor(rep(c("lo", "hi", "mid"), 2), c("lo", "mid", "hi")),
  s = factor(c("b", "a", "C", "B", "a", "b"), c("a", "b", "B", "C")),  # ICU's order
  boo = c(TRUE, FALSE, TRUE, TRUE, FALSE, FALSE), a = factor(c("p", "q", "p", "q", "q", "p")),
  b = factor(c("u", "v", "w", "w", "v", "u"))
)
fixed_rows$o <- factor(fixed_rows$f, ordered = TRUE)
i <- 0:59
random_rows <- data.frame(
  y = sin(i), x = cos(i), z = i %% 7 + 1.5, f = factor(c("lo", "mid", "hi")[i %% 3 + 1],
  c("lo", "mid", "hi")), a5 = i %% 5, b5 = i %/% 12, c12 = i %% 12, d12 = i %/% 5,
  school = i %/% 15, room = i %/% 5 %% 3
)

groups <- c("a5", "b5", "c12", "d12", "school", "room")
random_rows[groups] <- lapply(random_rows[groups], factor)

list_of <- function(x) paste(x, collapse = "; ")

fixed <- function(rhs) {
  made <- terms(as.formula(paste("y ~", rhs)))
  codes <- attr(made, "factors")
  coding <- if (length(codes)) apply(codes, 2, function(k) paste(k[k > 0], collapse = ""))
  frame <- model.frame(made, fixed_rows, drop.unused.levels = TRUE)
  c(list_of(c(attr(made, "intercept"), attr(made, "term.labels"))), list_of(coding),
    list_of(colnames(model.matrix(made, frame))))
}

random <- function(rhs) {
  formula <- as.formula(paste("y ~", rhs))
  bars <- sapply(findbars(expandDoubleVerts(formula)), deparse)
  check <- lmerControl(check.nobs.vs.nlev = "ignore", check.nobs.vs.rankZ = "ignore",
                       check.nobs.vs.nRE = "ignore", check.nlev.gtr.1 = "ignore",
                       check.rankX = "ignore", check.formula.LHS = "ignore")
  made <- lFormula(formula, random_rows, control = check)$reTrms$cnms
  c(list_of(bars), list_of(make.unique(names(made))), paste(sapply(made, list_of), collapse = " / "))
}

fill <- function(name, answer) {
  lines <- readLines(paste0(name, ".txt"))
  end <- c(which(lines == "# not R"), length(lines) + 1)[1]
  made <- vapply(lines[seq_len(end - 1)], function(line) {
    rhs <- sub(" *=>.*", "", line)
    if (startsWith(line, "#")) line else paste(c(rhs, answer(rhs)), collapse = " => ")
  }, "")
  writeLines(c(unname(made), lines[seq_along(lines) >= end]), file.path(folder, paste0(name, ".txt")))
}
fill("fixed", fixed)
fill("random", random)
