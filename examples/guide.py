"""The classroom guide as a script: children in classes in schools, models M14 to M20.

    python examples/guide.py [classroom.csv]

Without a file name the data come from the folder in NESTEDMLM_DATA, or are downloaded once.
"""

from __future__ import annotations

import logging
import sys

import pandas as pd

import nestedmlm as nm
from nestedmlm.datasets import prepare_classroom

logging.basicConfig(format="%(message)s", stream=sys.stdout)  # what lme4 says with message()

if len(sys.argv) > 1:
    classroom_df = prepare_classroom(pd.read_csv(sys.argv[1]))
else:
    classroom_df = nm.load_dataset("classroom")

# Two levels: intercept and slope vary over schools.
M14 = nm.lmer("mathscore ~ ses + (ses | schoolid)", classroom_df)
print(M14.summary(ddf="none"))

# Three levels: too much for fewer than four children per class.
M15 = nm.lmer("mathscore ~ ses + (ses | schoolid) + (ses | classid)", classroom_df)
print(M15.varcorr())
print(M15.diagnose())

# Without the correlation at class level, then without the slope.
M16 = nm.lmer("mathscore ~ ses + (ses | schoolid) + (ses || classid)", classroom_df)
print(M16.varcorr())
M17 = nm.lmer("mathscore ~ ses + (ses | schoolid) + (1 | classid)", classroom_df)
print(M17.varcorr())
print("singular:", {"M15": M15.is_singular(), "M16": M16.is_singular(), "M17": M17.is_singular()})

print(nm.anova(M14, M17, M16))

# Classes numbered within schools: three ways to say the same.
M18 = nm.lmer("mathscore ~ ses + (1 | schoolid/classid2)", classroom_df)
M19 = nm.lmer("mathscore ~ ses + (1 | schoolid) + (1 | schoolid:classid2)", classroom_df)
M20 = nm.lmer("mathscore ~ ses + (1 | schoolid) + (1 | classid)", classroom_df)
print(pd.DataFrame({"M18": M18.fixef, "M19": M19.fixef, "M20": M20.fixef}))
