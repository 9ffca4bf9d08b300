"""The classroom guide as a session: M14 to M20, with its digits and the optimum's."""

from __future__ import annotations

from nestedmlm.cli.transcript import Step

GUIDE = (
    Step("4. THE CLASSROOM GUIDE: children in classes in schools"),
    Step(
        "`classid` is unique over all schools; `classid2` counts the classes of each school.",
        "classroom_df.head(10)",
    ),
    Step(
        "Two levels first: the intercept and the effect of ses vary over schools. Models of\n"
        "nestedmlm.lme4 stop where lme4 does: every digit that follows is the guide's.",
        "from nestedmlm import lme4\n"
        'M14 = lme4.lmer("mathscore ~ ses + (ses | schoolid)", classroom_df)\n'
        'M14.summary(ddf="none")',
    ),
    Step("The population's line:", "M14.fixef.round(5).to_dict()"),
    Step("How much schools vary around it:", "M14.varcorr()"),
    Step(
        "Three levels: classes get an intercept and a slope as well.",
        'M15 = lme4.lmer("mathscore ~ ses + (ses | schoolid) + (ses | classid)", classroom_df)\n'
        "lme4.isSingular(M15)",
    ),
    Step(
        "At class level the correlation is 1: intercept and slope are one direction, not two.",
        "M15.varcorr()",
    ),
    Step(
        "lme4 said FALSE because it had stopped a little above the optimum. From there the way is\n"
        "short; at the optimum the fit is singular, and digits change from the fourth on.",
        "M15.certificate.message",
    ),
    Step(
        "",
        "best = M15.polish()\nbest.is_singular(), best.criterion - M15.criterion",
    ),
    Step("", "best.varcorr()"),
    Step(
        "Why? Fewer than four children per class cannot tell the two apart. What to fit instead:",
        "best.diagnose()",
    ),
    Step(
        "First without the correlation, by two bars:",
        'M16 = lme4.lmer("mathscore ~ ses + (ses | schoolid) + (ses || classid)", classroom_df)\n'
        "lme4.isSingular(M16)",
    ),
    Step(
        "Still singular, and now it shows that the slope's variance is what is zero.",
        "M16.varcorr()",
    ),
    Step(
        "So classes get an intercept only.",
        'M17 = lme4.lmer("mathscore ~ ses + (ses | schoolid) + (1 | classid)", classroom_df)\n'
        "lme4.isSingular(M17)",
    ),
    Step("Not singular. Its estimates:", "M17.fixef.round(5).to_dict()"),
    Step("", "M17.varcorr()"),
    Step(
        "Likelihood ratio tests: the class intercept is worth having, the class slope is not.",
        "nm.anova(M14, M17, M16)",
    ),
    Step(
        "NESTED IDENTIFIERS. With `classid2` the formula must say that classes are in schools:",
        'M18 = lme4.lmer("mathscore ~ ses + (1 | schoolid/classid2)", classroom_df)\n'
        "M18.fixef.round(5).to_dict()",
    ),
    Step(
        "which is short for",
        "M19 = lme4.lmer(\n"
        '    "mathscore ~ ses + (1 | schoolid) + (1 | schoolid:classid2)", classroom_df\n'
        ")\n"
        "M19.fixef.round(5).to_dict()",
    ),
    Step(
        "and equals the model with the unique identifier.",
        'M20 = lme4.lmer("mathscore ~ ses + (1 | schoolid) + (1 | classid)", classroom_df)\n'
        "M20.fixef.round(5).to_dict()",
    ),
    Step(
        "The three criteria:",
        "[round(m.reml_criterion, 6) for m in (M18, M19, M20)]",
    ),
    Step(
        "VARIANCE COMPONENTS AS A GUIDE. Levels with a variance near zero can be dropped; here "
        "schools\ndiffer in level and slope, classes in level.",
        "M17.varcorr()",
    ),
    Step(
        "WHY OTHER DIGITS? nm.lmer goes to the optimum and certifies it. M17 at its optimum, and\n"
        "by how many deviance units the guide's models are above theirs:",
        "nm.lmer(M17.formula, classroom_df).varcorr()",
    ),
    Step(
        "",
        "{n: f\"{m.certificate.gap:.1e}\" for n, m in [('M14', M14), ('M15', M15), ('M17', M17)]}",
    ),
)
