# Data and models of means.R, on which every branch of marginal means is taken; the same models are
# `FORMULAS` of benchmarks/agreement/summaries.py.
cake <- read_data("cake"); sleep <- read_data("sleepstudy"); ext <- read_data("sleep_ext")
oats <- read_data("Oats"); sim <- read_data("sim"); body <- read_data("BodyWeight")
hsb <- read_data("Hsb82"); pastes <- read_data("Pastes"); ortho <- read_data("Orthodont")
classroom <- read_data("classroom"); machines <- read_data("Machines"); exam <- read_data("Exam")

# unequal cells, a two-valued covariate, a nested fixed factor, an empty cell
sim$two <- ifelse(sim$z > 0, 1, 3)
sim$half <- factor(ifelse(seq_len(nrow(sim)) %% 5 < 2, "u", "v"))
sim$w <- 1 + (seq_len(nrow(sim)) %% 7) / 3
sim$inner <- factor(paste0(sim$f, 1 + seq_len(nrow(sim)) %% 3))
sim$rep <- factor(1 + seq_len(nrow(sim)) %% 3)
sim$dose <- c(1, 2, 4)[1 + seq_len(nrow(sim)) %% 3]
gap <- sim[!(sim$f == "hi" & sim$half == "v"), ]

fits <- list(
  cake = lmer(angle ~ recipe * temperature + (1 | recipe:replicate), cake, control = tight),
  cake_temp = lmer(angle ~ recipe * temp + (1 | recipe:replicate), cake, control = tight),
  oats = lmer(yield ~ factor(nitro) + Variety + (1 | Block/Variety), oats, control = tight),
  cross = lmer(y ~ x * f + half + (x | g1) + (1 | g2), sim, control = tight),
  weights = lmer(y ~ f * half + x + (1 | g1), sim, weights = w, control = tight),
  two = lmer(y ~ two * f + (1 | g1), sim, control = tight),
  log = lmer(log(y + 20) ~ log(z + 5) + f + (1 | g1), sim, control = tight),
  poly = lmer(y ~ poly(x, 2) * half + (1 | g1), sim, control = tight),
  logical = lmer(y ~ I(x > 0) + f + (1 | g1), sim, control = tight),
  offset = lmer(y ~ f + x + offset(z) + (1 | g1), sim, control = tight),
  gap = lmer(y ~ f * half + (1 | g1), gap, control = tight),
  nested = lmer(y ~ f + inner + (1 | g1), sim, control = tight),
  slash = lmer(y ~ f / rep + (1 | g1), sim, control = tight),
  ml = lmer(y ~ f * x + (1 | g1), sim, REML = FALSE, control = tight),
  body = lmer(weight ~ Time * Diet + (Time | Rat), body, control = tight),
  sum = lmer(y ~ f * half + (1 | g1), sim, contrasts = list(f = "contr.sum"), control = tight),
  dose = lmer(y ~ factor(dose) * x + (1 | g1), sim, control = tight)
)
