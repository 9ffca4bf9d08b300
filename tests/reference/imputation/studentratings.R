# Rscript studentratings.R: studentratings.csv, the example of mitml's help pages with its imputations
# by pan. Not made again by the tests: pan's draws are those of its build.
suppressMessages(library(mitml))
data(studentratings)
imputed <- panImpute(studentratings, formula = ReadDis + SES ~ ReadAchiev + (1 | ID), n.burn = 500,
                     n.iter = 100, m = 5, seed = 1, silent = TRUE)
lists <- mitmlComplete(imputed)
kept <- lists[[1]][c("ID", "ReadAchiev")]
for (k in 1:5) {
  for (name in c("ReadDis", "SES")) kept[[paste0(name, k)]] <- round(lists[[k]][[name]], 2)
}
kept$ReadAchiev <- round(kept$ReadAchiev, 2)
write.csv(kept, "studentratings.csv", row.names = FALSE, quote = FALSE)
