# Rows of fits: residuals, leverages, predictions with standard errors, what leaving groups out does.
suppressMessages(library(lme4))
source("../../tests/reference/common.R")

cases <- list(
  list(id = "sleep_int", data = "sleepstudy", formula = "Reaction ~ Days + (1 | Subject)", form = "~ (1 | Subject)", group = "Subject"),
  list(id = "sleep_corr", data = "sleepstudy", formula = "Reaction ~ Days + (Days | Subject)", form = "~ (1 | Subject)", group = "Subject"),
  list(id = "sleep_dv", data = "sleepstudy", formula = "Reaction ~ Days + (Days || Subject)", form = "~ (0 + Days | Subject)", group = "Subject"),
  list(id = "weights", data = "sleep_ext", formula = "Reaction ~ Days + (Days | Subject)", form = "~ (1 | Subject)", group = "Subject", weights = "w"),
  list(id = "offset", data = "sleep_ext", formula = "Reaction ~ Days + offset(off) + (Days | Subject)", form = "~ (1 | Subject)", group = "Subject"),
  list(id = "penicillin", data = "Penicillin", formula = "diameter ~ (1 | plate) + (1 | sample)", form = "~ (1 | sample)", group = "sample"),
  list(id = "pastes", data = "Pastes", formula = "strength ~ (1 | batch/cask)", form = "~ (1 | batch)", group = "batch"),
  list(id = "machines", data = "Machines", formula = "score ~ Machine + (1 | Worker/Machine)", form = "~ (1 | Worker)", group = "Worker"),
  list(id = "cake", data = "cake", formula = "angle ~ recipe * temperature + (1 | recipe:replicate)", form = "~ 0", group = "replicate"),
  list(id = "M17", data = "classroom", formula = "mathscore ~ ses + (ses | schoolid) + (1 | classid)", form = "~ (1 | schoolid)", group = NULL)
)

dense_se <- function(fit, X, Z) {  # lme4 has se.fit since 1.1-35 only: the same with dense matrices
  LL <- tcrossprod(getME(fit, "Lambda"))
  V <- diag(1 / weights(fit)) + as.matrix(getME(fit, "Z") %*% LL %*% getME(fit, "Zt"))
  GZV <- as.matrix(LL %*% getME(fit, "Zt")) %*% solve(V)
  P <- as.matrix(LL) - GZV %*% as.matrix(getME(fit, "Z") %*% LL)
  XX <- getME(fit, "X")
  C <- solve(t(XX) %*% solve(V, XX))
  D <- X - as.matrix(Z %*% (GZV %*% XX))
  sigma(fit) * sqrt(rowSums(as.matrix(Z %*% P) * as.matrix(Z)) + rowSums((D %*% C) * D))
}

without <- function(fit, d, group, tight) {
  labels <- as.character(d[[group]])
  lapply(unique(labels), function(k) {
    fewer <- droplevels(d[labels != k, ])
    if (!is.null(fit$w)) fewer$.w <- fewer[[fit$w]] else fewer$.w <- 1
    m <- suppressWarnings(suppressMessages(
      lmer(fit$formula, fewer, weights = .w, control = tight, start = fit$theta)))
    list(label = k, fixef = unname(fixef(m)), se = unname(sqrt(diag(as.matrix(vcov(m))))), sigma = sigma(m))
  })
}

run <- function(case) {
  d <- read_data(case$data)
  d$.w <- if (is.null(case$weights)) 1 else d[[case$weights]]
  f <- as.formula(case$formula)
  fit <- suppressMessages(suppressWarnings(lmer(f, d, weights = .w, control = tight)))
  few <- seq(1, nrow(d), length.out = 20)
  partial <- if (case$form == "~ 0") NA else as.formula(case$form)
  out <- list(
    id = case$id, data = case$data, formula = case$formula, weights = case$weights,
    form = case$form, group = case$group, few = as.integer(few) - 1L,
    pearson = unname(residuals(fit, "pearson")), scaled = unname(residuals(fit, "deviance", scaled = TRUE)),
    working = unname(residuals(fit, "working")), hat = unname(hatvalues(fit)),
    rstudent = unname(rstudent(fit)), cooks = unname(cooks.distance(fit)),
    all = unname(predict(fit, d[few, ])), none = unname(predict(fit, d[few, ], re.form = NA)),
    partial = unname(predict(fit, d[few, ], re.form = partial)),
    random = unname(predict(fit, d[few, ], random.only = TRUE)),
    se = unname(dense_se(fit, getME(fit, "X")[few, , drop = FALSE], getME(fit, "Z")[few, , drop = FALSE]))
  )
  if (!is.null(case$group)) {
    own <- list(formula = f, theta = getME(fit, "theta"), w = case$weights)
    left <- without(own, d, case$group, tight)
    b <- do.call(rbind, lapply(left, `[[`, "fixef"))
    se <- do.call(rbind, lapply(left, `[[`, "se"))
    change <- sweep(b, 2, fixef(fit))
    m <- nrow(b); p <- ncol(b)
    out$labels <- sapply(left, `[[`, "label")
    out$sigma_without <- sapply(left, `[[`, "sigma")
    out$dfbetas <- as.vector(t(change / se))
    out$cooks_group <- (m - p) / (m * p) * rowSums((change %*% solve(as.matrix(vcov(fit)))) * change)
  }
  out
}

write_json(lapply(cases, run))
