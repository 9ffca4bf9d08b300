"""Numbers and printed texts of fits by lme4 1.1-31 on R 4.2, with the wording of lme4 2.x.

Every case was fitted and printed by R (``deviance`` as ``-2*log(L)``), trailing blanks removed.
The numbers are where lme4's optimizer stopped: they test the printing, not the fits. The five
`resid` are the quantiles of the scaled residuals, of which they are the quantiles again.
"""

from __future__ import annotations

from typing import Any

CASES: dict[str, dict[str, Any]] = {
    "M14": {
        "formula": "mathscore ~ ses + (ses | schoolid)",
        "data": "classroom_df",
        "weights": None,
        "offset": None,
        "REML": True,
        "reml": 11879.6263926,
        "ic": (11891.6263926, 11922.1166442, -5939.81319632),
        "df_resid": 1184,
        "npar": 6,
        "nobs": 1190,
        "ngrps": {"schoolid": 107},
        "sigma": 33.6065266236,
        "blocks": [
            (
                "schoolid",
                ("(Intercept)", "ses"),
                [[261.802819492, 56.9268018782], [56.9268018782, 54.9783318415]],
            )
        ],
        "names": ("(Intercept)", "ses"),
        "beta": [522.946406577, 11.3103578821],
        "se": [1.91710343302, 1.72231473986],
        "vcov": [[3.67528557289, 0.765003461278], [0.765003461278, 2.96636806314]],
        "resid": [-5.41512599565, -0.605152014668, -0.047163923228, 0.579536234774, 3.7352277107],
        "summary": """\
Linear mixed model fit by REML ['lmerMod']
Formula: mathscore ~ ses + (ses | schoolid)
   Data: classroom_df

REML criterion at convergence: 11879.6

Scaled residuals:
    Min      1Q  Median      3Q     Max
-5.4151 -0.6052 -0.0472  0.5795  3.7352

Random effects:
 Groups   Name        Variance Std.Dev. Corr
 schoolid (Intercept)  261.80  16.180
          ses           54.98   7.415   0.47
 Residual             1129.40  33.607
Number of obs: 1190, groups:  schoolid, 107

Fixed effects:
            Estimate Std. Error t value
(Intercept)  522.946      1.917 272.779
ses           11.310      1.722   6.567

Correlation of Fixed Effects:
    (Intr)
ses 0.232
""",
        "short": """\
Linear mixed model fit by REML ['lmerMod']
Formula: mathscore ~ ses + (ses | schoolid)
   Data: classroom_df
REML criterion at convergence: 11879.63
Random effects:
 Groups   Name        Std.Dev. Corr
 schoolid (Intercept) 16.180
          ses          7.415   0.47
 Residual             33.607
Number of obs: 1190, groups:  schoolid, 107
Fixed Effects:
(Intercept)          ses
     522.95        11.31
""",
        "varcorr": """\
 Groups   Name        Std.Dev. Corr
 schoolid (Intercept) 16.1803
          ses          7.4147  0.474
 Residual             33.6065
""",
    },
    "M15": {
        "formula": "mathscore ~ ses + (ses | schoolid) + (ses | classid)",
        "data": "classroom_df",
        "weights": None,
        "offset": None,
        "REML": True,
        "reml": 11874.8939664,
        "ic": (11892.8939664, 11938.6293437, -5937.4469832),
        "df_resid": 1181,
        "npar": 9,
        "nobs": 1190,
        "ngrps": {"classid": 312, "schoolid": 107},
        "sigma": 32.9060817537,
        "blocks": [
            (
                "classid",
                ("(Intercept)", "ses"),
                [[69.4771061701, 7.62255587204], [7.62255587204, 0.836364916317]],
            ),
            (
                "schoolid",
                ("(Intercept)", "ses"),
                [[238.538008764, 49.5364408521], [49.5364408521, 52.454496194]],
            ),
        ],
        "names": ("(Intercept)", "ses"),
        "beta": [522.834869978, 11.2182307419],
        "se": [1.92022470194, 1.71035529341],
        "vcov": [[3.68726290594, 0.728996784568], [0.728996784568, 2.9253152297]],
        "resid": [-5.33579054223, -0.570566008423, -0.0482615265792, 0.565150521652, 3.60880960212],
        "summary": """\
Linear mixed model fit by REML ['lmerMod']
Formula: mathscore ~ ses + (ses | schoolid) + (ses | classid)
   Data: classroom_df

REML criterion at convergence: 11874.9

Scaled residuals:
    Min      1Q  Median      3Q     Max
-5.3358 -0.5706 -0.0483  0.5652  3.6088

Random effects:
 Groups   Name        Variance  Std.Dev. Corr
 classid  (Intercept)   69.4771  8.3353
          ses            0.8364  0.9145  1.00
 schoolid (Intercept)  238.5380 15.4447
          ses           52.4545  7.2425  0.44
 Residual             1082.8102 32.9061
Number of obs: 1190, groups:  classid, 312; schoolid, 107

Fixed effects:
            Estimate Std. Error t value
(Intercept)   522.84       1.92 272.278
ses            11.22       1.71   6.559

Correlation of Fixed Effects:
    (Intr)
ses 0.222
""",
        "short": """\
Linear mixed model fit by REML ['lmerMod']
Formula: mathscore ~ ses + (ses | schoolid) + (ses | classid)
   Data: classroom_df
REML criterion at convergence: 11874.89
Random effects:
 Groups   Name        Std.Dev. Corr
 classid  (Intercept)  8.3353
          ses          0.9145  1.00
 schoolid (Intercept) 15.4447
          ses          7.2425  0.44
 Residual             32.9061
Number of obs: 1190, groups:  classid, 312; schoolid, 107
Fixed Effects:
(Intercept)          ses
     522.83        11.22
""",
        "varcorr": """\
 Groups   Name        Std.Dev. Corr
 classid  (Intercept)  8.33529
          ses          0.91453 1.000
 schoolid (Intercept) 15.44468
          ses          7.24255 0.443
 Residual             32.90608
""",
    },
    "M16": {
        "formula": "mathscore ~ ses + (ses | schoolid) + ((1 | classid) + (0 + ses | classid))",
        "data": "classroom_df",
        "weights": None,
        "offset": None,
        "REML": True,
        "reml": 11874.9735456,
        "ic": (11890.9735456, 11931.6272143, -5937.48677281),
        "df_resid": 1182,
        "npar": 8,
        "nobs": 1190,
        "ngrps": {"classid": 312, "schoolid": 107},
        "sigma": 32.8949969325,
        "blocks": [
            ("classid", ("ses",), [[0.0]]),
            ("classid.1", ("(Intercept)",), [[70.4991951597]]),
            (
                "schoolid",
                ("(Intercept)", "ses"),
                [[238.387272698, 53.0147309116], [53.0147309116, 53.3474229511]],
            ),
        ],
        "names": ("(Intercept)", "ses"),
        "beta": [522.824813941, 11.204334628],
        "se": [1.92043643863, 1.71071328411],
        "vcov": [[3.68807611484, 0.73099194909], [0.73099194909, 2.92653994043]],
        "resid": [-5.30529170128, -0.568777098105, -0.0450731425175, 0.572785045359, 3.62114809398],
        "summary": """\
Linear mixed model fit by REML ['lmerMod']
Formula: mathscore ~ ses + (ses | schoolid) + ((1 | classid) + (0 + ses |
    classid))
   Data: classroom_df

REML criterion at convergence: 11875

Scaled residuals:
    Min      1Q  Median      3Q     Max
-5.3053 -0.5688 -0.0451  0.5728  3.6211

Random effects:
 Groups    Name        Variance Std.Dev. Corr
 classid   ses            0.00   0.000
 classid.1 (Intercept)   70.50   8.396
 schoolid  (Intercept)  238.39  15.440
           ses           53.35   7.304   0.47
 Residual              1082.08  32.895
Number of obs: 1190, groups:  classid, 312; schoolid, 107

Fixed effects:
            Estimate Std. Error t value
(Intercept)  522.825      1.920  272.24
ses           11.204      1.711    6.55

Correlation of Fixed Effects:
    (Intr)
ses 0.223
""",
        "short": """\
Linear mixed model fit by REML ['lmerMod']
Formula: mathscore ~ ses + (ses | schoolid) + ((1 | classid) + (0 + ses |
    classid))
   Data: classroom_df
REML criterion at convergence: 11874.97
Random effects:
 Groups    Name        Std.Dev. Corr
 classid   ses          0.000
 classid.1 (Intercept)  8.396
 schoolid  (Intercept) 15.440
           ses          7.304   0.47
 Residual              32.895
Number of obs: 1190, groups:  classid, 312; schoolid, 107
Fixed Effects:
(Intercept)          ses
      522.8         11.2
""",
        "varcorr": """\
 Groups    Name        Std.Dev. Corr
 classid   ses          0.0000
 classid.1 (Intercept)  8.3964
 schoolid  (Intercept) 15.4398
           ses          7.3039  0.470
 Residual              32.8950
""",
    },
    "M17": {
        "formula": "mathscore ~ ses + (ses | schoolid) + (1 | classid)",
        "data": "classroom_df",
        "weights": None,
        "offset": None,
        "REML": True,
        "reml": 11874.9735469,
        "ic": (11888.9735469, 11924.545507, -5937.48677345),
        "df_resid": 1183,
        "npar": 7,
        "nobs": 1190,
        "ngrps": {"classid": 312, "schoolid": 107},
        "sigma": 32.8953518847,
        "blocks": [
            ("classid", ("(Intercept)",), [[70.4681635443]]),
            (
                "schoolid",
                ("(Intercept)", "ses"),
                [[238.371213039, 53.0150296589], [53.0150296589, 53.3508321735]],
            ),
        ],
        "names": ("(Intercept)", "ses"),
        "beta": [522.8248769, 11.2043894477],
        "se": [1.92037061433, 1.7107280166],
        "vcov": [[3.6878232964, 0.730996992392], [0.730996992392, 2.92659034677]],
        "resid": [-5.30534616219, -0.56878938341, -0.0450834018531, 0.572817071027, 3.62119808141],
        "summary": """\
Linear mixed model fit by REML ['lmerMod']
Formula: mathscore ~ ses + (ses | schoolid) + (1 | classid)
   Data: classroom_df

REML criterion at convergence: 11875

Scaled residuals:
    Min      1Q  Median      3Q     Max
-5.3053 -0.5688 -0.0451  0.5728  3.6212

Random effects:
 Groups   Name        Variance Std.Dev. Corr
 classid  (Intercept)   70.47   8.395
 schoolid (Intercept)  238.37  15.439
          ses           53.35   7.304   0.47
 Residual             1082.10  32.895
Number of obs: 1190, groups:  classid, 312; schoolid, 107

Fixed effects:
            Estimate Std. Error t value
(Intercept)  522.825      1.920 272.252
ses           11.204      1.711   6.549

Correlation of Fixed Effects:
    (Intr)
ses 0.223
""",
        "short": """\
Linear mixed model fit by REML ['lmerMod']
Formula: mathscore ~ ses + (ses | schoolid) + (1 | classid)
   Data: classroom_df
REML criterion at convergence: 11874.97
Random effects:
 Groups   Name        Std.Dev. Corr
 classid  (Intercept)  8.395
 schoolid (Intercept) 15.439
          ses          7.304   0.47
 Residual             32.895
Number of obs: 1190, groups:  classid, 312; schoolid, 107
Fixed Effects:
(Intercept)          ses
      522.8         11.2
""",
        "varcorr": """\
 Groups   Name        Std.Dev. Corr
 classid  (Intercept)  8.3945
 schoolid (Intercept) 15.4393
          ses          7.3042  0.470
 Residual             32.8954
""",
    },
    "sleep_reml": {
        "formula": "Reaction ~ Days + (Days | Subject)",
        "data": "sleepstudy",
        "weights": None,
        "offset": None,
        "REML": True,
        "reml": 1743.62827196,
        "ic": (1755.62827196, 1774.78601307, -871.81413598),
        "df_resid": 174,
        "npar": 6,
        "nobs": 180,
        "ngrps": {"Subject": 18},
        "sigma": 25.5917957217,
        "blocks": [
            (
                "Subject",
                ("(Intercept)", "Days"),
                [[612.100158025, 9.60440895116], [9.60440895116, 35.0717144509]],
            )
        ],
        "names": ("(Intercept)", "Days"),
        "beta": [251.405104848, 10.4672859596],
        "se": [6.82459669495, 1.54578964391],
        "vcov": [[46.5751200488, -1.45108841663], [-1.45108841663, 2.38946562321]],
        "resid": [-3.95356734537, -0.463397683127, 0.0231176647794, 0.46340207815, 5.17926037341],
        "summary": """\
Linear mixed model fit by REML ['lmerMod']
Formula: Reaction ~ Days + (Days | Subject)
   Data: sleepstudy

REML criterion at convergence: 1743.6

Scaled residuals:
    Min      1Q  Median      3Q     Max
-3.9536 -0.4634  0.0231  0.4634  5.1793

Random effects:
 Groups   Name        Variance Std.Dev. Corr
 Subject  (Intercept) 612.10   24.741
          Days         35.07    5.922   0.07
 Residual             654.94   25.592
Number of obs: 180, groups:  Subject, 18

Fixed effects:
            Estimate Std. Error t value
(Intercept)  251.405      6.825  36.838
Days          10.467      1.546   6.771

Correlation of Fixed Effects:
     (Intr)
Days -0.138
""",
        "short": """\
Linear mixed model fit by REML ['lmerMod']
Formula: Reaction ~ Days + (Days | Subject)
   Data: sleepstudy
REML criterion at convergence: 1743.628
Random effects:
 Groups   Name        Std.Dev. Corr
 Subject  (Intercept) 24.741
          Days         5.922   0.07
 Residual             25.592
Number of obs: 180, groups:  Subject, 18
Fixed Effects:
(Intercept)         Days
     251.41        10.47
""",
        "varcorr": """\
 Groups   Name        Std.Dev. Corr
 Subject  (Intercept) 24.7407
          Days         5.9221  0.066
 Residual             25.5918
""",
    },
    "sleep_ml": {
        "formula": "Reaction ~ Days + (Days | Subject)",
        "data": "sleepstudy",
        "weights": None,
        "offset": None,
        "REML": False,
        "reml": None,
        "ic": (1763.93934449, 1783.09708559, -875.969672244),
        "df_resid": 174,
        "npar": 6,
        "nobs": 180,
        "ngrps": {"Subject": 18},
        "sigma": 25.5919070365,
        "blocks": [
            (
                "Subject",
                ("(Intercept)", "Days"),
                [[565.476966132, 11.055122392], [11.055122392, 32.6817852489]],
            )
        ],
        "names": ("(Intercept)", "Days"),
        "beta": [251.405104848, 10.4672859596],
        "se": [6.63212274219, 1.50223021383],
        "vcov": [[43.9850520675, -1.37051049064], [-1.37051049064, 2.25669561535]],
        "resid": [-3.94155241672, -0.465589375628, 0.0289447552658, 0.463614465397, 5.17932342919],
        "summary": """\
Linear mixed model fit by maximum likelihood  ['lmerMod']
Formula: Reaction ~ Days + (Days | Subject)
   Data: sleepstudy

      AIC       BIC    logLik -2*log(L)  df.resid
   1763.9    1783.1    -876.0    1751.9       174

Scaled residuals:
    Min      1Q  Median      3Q     Max
-3.9416 -0.4656  0.0289  0.4636  5.1793

Random effects:
 Groups   Name        Variance Std.Dev. Corr
 Subject  (Intercept) 565.48   23.780
          Days         32.68    5.717   0.08
 Residual             654.95   25.592
Number of obs: 180, groups:  Subject, 18

Fixed effects:
            Estimate Std. Error t value
(Intercept)  251.405      6.632  37.907
Days          10.467      1.502   6.968

Correlation of Fixed Effects:
     (Intr)
Days -0.138
""",
        "short": """\
Linear mixed model fit by maximum likelihood  ['lmerMod']
Formula: Reaction ~ Days + (Days | Subject)
   Data: sleepstudy
      AIC       BIC    logLik -2*log(L)  df.resid
1763.9393 1783.0971 -875.9697 1751.9393       174
Random effects:
 Groups   Name        Std.Dev. Corr
 Subject  (Intercept) 23.780
          Days         5.717   0.08
 Residual             25.592
Number of obs: 180, groups:  Subject, 18
Fixed Effects:
(Intercept)         Days
     251.41        10.47
""",
        "varcorr": """\
 Groups   Name        Std.Dev. Corr
 Subject  (Intercept) 23.7798
          Days         5.7168  0.081
 Residual             25.5919
""",
    },
    "sleep_quadratic": {
        "formula": "Reaction ~ Days + I(Days^2) + (Days + I(Days^2) | Subject)",
        "data": "sleepstudy",
        "weights": None,
        "offset": None,
        "REML": True,
        "reml": 1729.27698244,
        "ic": (1749.27698244, 1781.20655095, -864.638491219),
        "df_resid": 170,
        "npar": 10,
        "nobs": 180,
        "ngrps": {"Subject": 18},
        "sigma": 22.7989921695,
        "blocks": [
            (
                "Subject",
                ("(Intercept)", "Days", "I(Days^2)"),
                [
                    [777.971161116, -164.929615931, 18.3050020972],
                    [-164.929615931, 212.94505738, -19.3407335009],
                    [18.3050020972, -19.3407335009, 2.12187916197],
                ],
            )
        ],
        "names": ("(Intercept)", "Days", "I(Days^2)"),
        "beta": [255.449372778, 7.43408501262, 0.337022327442],
        "se": [7.81486613336, 4.07558259631, 0.415420642143],
        "vcov": [
            [61.0721326823, -16.6446404065, 1.673250172],
            [-16.6446404065, 16.6103734993, -1.56671440277],
            [1.673250172, -1.56671440277, 0.172574309918],
        ],
        "resid": [-4.49143231292, -0.442415044873, 0.0453652214754, 0.457669265477, 4.91360180152],
        "summary": """\
Linear mixed model fit by REML ['lmerMod']
Formula: Reaction ~ Days + I(Days^2) + (Days + I(Days^2) | Subject)
   Data: sleepstudy

REML criterion at convergence: 1729.3

Scaled residuals:
    Min      1Q  Median      3Q     Max
-4.4914 -0.4424  0.0454  0.4577  4.9136

Random effects:
 Groups   Name        Variance Std.Dev. Corr
 Subject  (Intercept) 777.971  27.892
          Days        212.945  14.593   -0.41
          I(Days^2)     2.122   1.457    0.45 -0.91
 Residual             519.794  22.799
Number of obs: 180, groups:  Subject, 18

Fixed effects:
            Estimate Std. Error t value
(Intercept) 255.4494     7.8149  32.688
Days          7.4341     4.0756   1.824
I(Days^2)     0.3370     0.4154   0.811

Correlation of Fixed Effects:
          (Intr) Days
Days      -0.523
I(Days^2)  0.515 -0.925
""",
        "short": """\
Linear mixed model fit by REML ['lmerMod']
Formula: Reaction ~ Days + I(Days^2) + (Days + I(Days^2) | Subject)
   Data: sleepstudy
REML criterion at convergence: 1729.277
Random effects:
 Groups   Name        Std.Dev. Corr
 Subject  (Intercept) 27.892
          Days        14.593   -0.41
          I(Days^2)    1.457    0.45 -0.91
 Residual             22.799
Number of obs: 180, groups:  Subject, 18
Fixed Effects:
(Intercept)         Days    I(Days^2)
    255.449        7.434        0.337
""",
        "varcorr": """\
 Groups   Name        Std.Dev. Corr
 Subject  (Intercept) 27.8921
          Days        14.5926  -0.405
          I(Days^2)    1.4567   0.451 -0.910
 Residual             22.7990
""",
    },
    "sleep_weights": {
        "formula": "Reaction ~ Days + (Days | Subject)",
        "data": "sleepstudy",
        "weights": "w",
        "offset": "off",
        "REML": True,
        "reml": 1734.34745521,
        "ic": (1746.34745521, 1765.50519632, -867.173727605),
        "df_resid": 174,
        "npar": 6,
        "nobs": 180,
        "ngrps": {"Subject": 18},
        "sigma": 26.8164484519,
        "blocks": [
            (
                "Subject",
                ("(Intercept)", "Days"),
                [[594.023235842, 8.12826858153], [8.12826858153, 34.7852322368]],
            )
        ],
        "names": ("(Intercept)", "Days"),
        "beta": [251.402804568, 10.0025738073],
        "se": [6.73229321469, 1.53538420732],
        "vcov": [[45.3237719286, -1.46867362341], [-1.46867362341, 2.35740466409]],
        "resid": [-3.62909692552, -0.462652016394, 0.0218565299085, 0.531765388462, 4.88141107035],
        "summary": """\
Linear mixed model fit by REML ['lmerMod']
Formula: Reaction ~ Days + (Days | Subject)
   Data: sleepstudy
Weights: w
 Offset: off

REML criterion at convergence: 1734.3

Scaled residuals:
    Min      1Q  Median      3Q     Max
-3.6291 -0.4627  0.0219  0.5318  4.8814

Random effects:
 Groups   Name        Variance Std.Dev. Corr
 Subject  (Intercept) 594.02   24.373
          Days         34.79    5.898   0.06
 Residual             719.12   26.816
Number of obs: 180, groups:  Subject, 18

Fixed effects:
            Estimate Std. Error t value
(Intercept)  251.403      6.732  37.343
Days          10.003      1.535   6.515

Correlation of Fixed Effects:
     (Intr)
Days -0.142
""",
        "short": """\
Linear mixed model fit by REML ['lmerMod']
Formula: Reaction ~ Days + (Days | Subject)
   Data: sleepstudy
Weights: w
 Offset: off
REML criterion at convergence: 1734.348
Random effects:
 Groups   Name        Std.Dev. Corr
 Subject  (Intercept) 24.373
          Days         5.898   0.06
 Residual             26.816
Number of obs: 180, groups:  Subject, 18
Fixed Effects:
(Intercept)         Days
      251.4         10.0
""",
        "varcorr": """\
 Groups   Name        Std.Dev. Corr
 Subject  (Intercept) 24.3726
          Days         5.8979  0.057
 Residual             26.8164
""",
    },
    "pastes": {
        "formula": "strength ~ 1 + (1 | batch/cask)",
        "data": "Pastes",
        "weights": None,
        "offset": None,
        "REML": True,
        "reml": 246.990745853,
        "ic": (254.990745853, 263.368124102, -123.495372927),
        "df_resid": 56,
        "npar": 4,
        "nobs": 60,
        "ngrps": {"cask:batch": 30, "batch": 10},
        "sigma": 0.823407523447,
        "blocks": [
            ("cask:batch", ("(Intercept)",), [[8.43366593129]]),
            ("batch", ("(Intercept)",), [[1.65731091183]]),
        ],
        "names": ("(Intercept)",),
        "beta": [60.0533333333],
        "se": [0.676870215074],
        "vcov": [[0.458153288054]],
        "resid": [-1.47977603108, -0.515577976363, 0.0094980485206, 0.471996639442, 1.38969584407],
        "summary": """\
Linear mixed model fit by REML ['lmerMod']
Formula: strength ~ 1 + (1 | batch/cask)
   Data: Pastes

REML criterion at convergence: 247

Scaled residuals:
    Min      1Q  Median      3Q     Max
-1.4798 -0.5156  0.0095  0.4720  1.3897

Random effects:
 Groups     Name        Variance Std.Dev.
 cask:batch (Intercept) 8.434    2.9041
 batch      (Intercept) 1.657    1.2874
 Residual               0.678    0.8234
Number of obs: 60, groups:  cask:batch, 30; batch, 10

Fixed effects:
            Estimate Std. Error t value
(Intercept)  60.0533     0.6769   88.72
""",
        "short": """\
Linear mixed model fit by REML ['lmerMod']
Formula: strength ~ 1 + (1 | batch/cask)
   Data: Pastes
REML criterion at convergence: 246.9907
Random effects:
 Groups     Name        Std.Dev.
 cask:batch (Intercept) 2.9041
 batch      (Intercept) 1.2874
 Residual               0.8234
Number of obs: 60, groups:  cask:batch, 30; batch, 10
Fixed Effects:
(Intercept)
      60.05
""",
        "varcorr": """\
 Groups     Name        Std.Dev.
 cask:batch (Intercept) 2.90408
 batch      (Intercept) 1.28737
 Residual               0.82341
""",
    },
    "cake": {
        "formula": "angle ~ recipe * temperature + (1 | recipe:replicate)",
        "data": "cake",
        "weights": None,
        "offset": None,
        "REML": True,
        "reml": 1638.62145988,
        "ic": (1678.62145988, 1750.58989906, -819.31072994),
        "df_resid": 250,
        "npar": 20,
        "nobs": 270,
        "ngrps": {"recipe:replicate": 45},
        "sigma": 4.52447781055,
        "blocks": [("recipe:replicate", ("(Intercept)",), [[41.8370371796]])],
        "names": (
            "(Intercept)",
            "recipeB",
            "recipeC",
            "temperature.L",
            "temperature.Q",
            "temperature.C",
            "temperature^4",
            "temperature^5",
            "recipeB:temperature.L",
            "recipeC:temperature.L",
            "recipeB:temperature.Q",
            "recipeC:temperature.Q",
            "recipeB:temperature.C",
            "recipeC:temperature.C",
            "recipeB:temperature^4",
            "recipeC:temperature^4",
            "recipeB:temperature^5",
            "recipeC:temperature^5",
        ),
        "beta": [
            33.1222222222,
            -1.47777777778,
            -1.52222222222,
            6.43032991822,
            -0.712845108104,
            -2.3255106966,
            -3.35128499402,
            -0.151185789204,
            0.454186871547,
            0.0876500980178,
            -0.232765749585,
            1.21474625565,
            2.6932196529,
            2.63856021345,
            3.02371578407,
            3.13710512598,
            -0.663537630394,
            -1.62524723394,
        ],
        "se": [
            1.73683339742,
            2.45625334622,
            2.45625334622,
            1.16821514737,
            1.16821514737,
            1.16821514737,
            1.16821514737,
            1.16821514737,
            1.65210570518,
            1.65210570518,
            1.65210570518,
            1.65210570518,
            1.65210570518,
            1.65210570518,
            1.65210570518,
            1.65210570518,
            1.65210570518,
            1.65210570518,
        ],
        "vcov": None,
        "resid": [-2.64660701346, -0.610818131216, -0.0520652675059, 0.569848371608, 2.75373696253],
        "summary": """\
Linear mixed model fit by REML ['lmerMod']
Formula: angle ~ recipe * temperature + (1 | recipe:replicate)
   Data: cake

REML criterion at convergence: 1638.6

Scaled residuals:
     Min       1Q   Median       3Q      Max
-2.64661 -0.61082 -0.05207  0.56985  2.75374

Random effects:
 Groups           Name        Variance Std.Dev.
 recipe:replicate (Intercept) 41.84    6.468
 Residual                     20.47    4.524
Number of obs: 270, groups:  recipe:replicate, 45

Fixed effects:
                      Estimate Std. Error t value
(Intercept)           33.12222    1.73683  19.070
recipeB               -1.47778    2.45625  -0.602
recipeC               -1.52222    2.45625  -0.620
temperature.L          6.43033    1.16822   5.504
temperature.Q         -0.71285    1.16822  -0.610
temperature.C         -2.32551    1.16822  -1.991
temperature^4         -3.35128    1.16822  -2.869
temperature^5         -0.15119    1.16822  -0.129
recipeB:temperature.L  0.45419    1.65211   0.275
recipeC:temperature.L  0.08765    1.65211   0.053
recipeB:temperature.Q -0.23277    1.65211  -0.141
recipeC:temperature.Q  1.21475    1.65211   0.735
recipeB:temperature.C  2.69322    1.65211   1.630
recipeC:temperature.C  2.63856    1.65211   1.597
recipeB:temperature^4  3.02372    1.65211   1.830
recipeC:temperature^4  3.13711    1.65211   1.899
recipeB:temperature^5 -0.66354    1.65211  -0.402
recipeC:temperature^5 -1.62525    1.65211  -0.984
""",
        "short": """\
Linear mixed model fit by REML ['lmerMod']
Formula: angle ~ recipe * temperature + (1 | recipe:replicate)
   Data: cake
REML criterion at convergence: 1638.621
Random effects:
 Groups           Name        Std.Dev.
 recipe:replicate (Intercept) 6.468
 Residual                     4.524
Number of obs: 270, groups:  recipe:replicate, 45
Fixed Effects:
          (Intercept)                recipeB                recipeC
             33.12222               -1.47778               -1.52222
        temperature.L          temperature.Q          temperature.C
              6.43033               -0.71285               -2.32551
        temperature^4          temperature^5  recipeB:temperature.L
             -3.35128               -0.15119                0.45419
recipeC:temperature.L  recipeB:temperature.Q  recipeC:temperature.Q
              0.08765               -0.23277                1.21475
recipeB:temperature.C  recipeC:temperature.C  recipeB:temperature^4
              2.69322                2.63856                3.02372
recipeC:temperature^4  recipeB:temperature^5  recipeC:temperature^5
              3.13711               -0.66354               -1.62525
""",
        "varcorr": """\
 Groups           Name        Std.Dev.
 recipe:replicate (Intercept) 6.4682
 Residual                     4.5245
""",
    },
    "dyestuff2": {
        "formula": "Yield ~ 1 + (1 | Batch)",
        "data": "Dyestuff2",
        "weights": None,
        "offset": None,
        "REML": True,
        "reml": 161.828277812,
        "ic": (167.828277812, 172.031869957, -80.9141389061),
        "df_resid": 27,
        "npar": 3,
        "nobs": 30,
        "ngrps": {"Batch": 6},
        "sigma": 3.71568427448,
        "blocks": [("Batch", ("(Intercept)",), [[0.0]])],
        "names": ("(Intercept)",),
        "beta": [5.6656],
        "se": [0.678388031233],
        "vcov": [[0.46021032092]],
        "resid": [-1.76484316632, -0.780636831801, -0.0809003073983, 0.668894291443, 2.09070508314],
        "summary": """\
Linear mixed model fit by REML ['lmerMod']
Formula: Yield ~ 1 + (1 | Batch)
   Data: Dyestuff2

REML criterion at convergence: 161.8

Scaled residuals:
    Min      1Q  Median      3Q     Max
-1.7648 -0.7806 -0.0809  0.6689  2.0907

Random effects:
 Groups   Name        Variance Std.Dev.
 Batch    (Intercept)  0.00    0.000
 Residual             13.81    3.716
Number of obs: 30, groups:  Batch, 6

Fixed effects:
            Estimate Std. Error t value
(Intercept)   5.6656     0.6784   8.352
""",
        "short": """\
Linear mixed model fit by REML ['lmerMod']
Formula: Yield ~ 1 + (1 | Batch)
   Data: Dyestuff2
REML criterion at convergence: 161.8283
Random effects:
 Groups   Name        Std.Dev.
 Batch    (Intercept) 0.000
 Residual             3.716
Number of obs: 30, groups:  Batch, 6
Fixed Effects:
(Intercept)
      5.666
""",
        "varcorr": """\
 Groups   Name        Std.Dev.
 Batch    (Intercept) 0.0000
 Residual             3.7157
""",
    },
    "no_fixed": {
        "formula": "Reaction ~ 0 + (Days | Subject)",
        "data": "sleepstudy",
        "weights": None,
        "offset": None,
        "REML": False,
        "reml": None,
        "ic": (1840.78136437, 1853.55319177, -916.390682186),
        "df_resid": 176,
        "npar": 4,
        "nobs": 180,
        "ngrps": {"Subject": 18},
        "sigma": 25.5918320019,
        "blocks": [
            (
                "Subject",
                ("(Intercept)", "Days"),
                [[63770.510548, 2642.60462253], [2642.60462253, 142.246343297]],
            )
        ],
        "names": (),
        "beta": [],
        "se": [],
        "vcov": [],
        "resid": [-3.94251458815, -0.460003915647, -0.00385717008982, 0.460671247563, 5.1675843117],
        "summary": """\
Linear mixed model fit by maximum likelihood  ['lmerMod']
Formula: Reaction ~ 0 + (Days | Subject)
   Data: sleepstudy

      AIC       BIC    logLik -2*log(L)  df.resid
   1840.8    1853.6    -916.4    1832.8       176

Scaled residuals:
    Min      1Q  Median      3Q     Max
-3.9425 -0.4600 -0.0039  0.4607  5.1676

Random effects:
 Groups   Name        Variance Std.Dev. Corr
 Subject  (Intercept) 63770.5  252.53
          Days          142.2   11.93   0.88
 Residual               654.9   25.59
Number of obs: 180, groups:  Subject, 18
""",
        "short": """\
Linear mixed model fit by maximum likelihood  ['lmerMod']
Formula: Reaction ~ 0 + (Days | Subject)
   Data: sleepstudy
      AIC       BIC    logLik -2*log(L)  df.resid
1840.7814 1853.5532 -916.3907 1832.7814       176
Random effects:
 Groups   Name        Std.Dev. Corr
 Subject  (Intercept) 252.53
          Days         11.93   0.88
 Residual              25.59
Number of obs: 180, groups:  Subject, 18
No fixed effect coefficients
""",
        "varcorr": """\
 Groups   Name        Std.Dev. Corr
 Subject  (Intercept) 252.528
          Days         11.927  0.877
 Residual              25.592
""",
    },
    "penicillin": {
        "formula": "diameter ~ (1 | plate) + (1 | sample)",
        "data": "Penicillin",
        "weights": None,
        "offset": None,
        "REML": True,
        "reml": 330.860589,
        "ic": (338.860589, 350.739842198, -165.4302945),
        "df_resid": 140,
        "npar": 4,
        "nobs": 144,
        "ngrps": {"plate": 24, "sample": 6},
        "sigma": 0.549922682063,
        "blocks": [
            ("plate", ("(Intercept)",), [[0.716905141001]]),
            ("sample", ("(Intercept)",), [[3.7311318423]]),
        ],
        "names": ("(Intercept)",),
        "beta": [22.9722222222],
        "se": [0.808595361386],
        "vcov": [[0.653826458456]],
        "resid": [-2.07923366551, -0.671396851029, 0.0629221638318, 0.583771205066, 2.97958580522],
        "summary": """\
Linear mixed model fit by REML ['lmerMod']
Formula: diameter ~ (1 | plate) + (1 | sample)
   Data: Penicillin

REML criterion at convergence: 330.9

Scaled residuals:
     Min       1Q   Median       3Q      Max
-2.07923 -0.67140  0.06292  0.58377  2.97959

Random effects:
 Groups   Name        Variance Std.Dev.
 plate    (Intercept) 0.7169   0.8467
 sample   (Intercept) 3.7311   1.9316
 Residual             0.3024   0.5499
Number of obs: 144, groups:  plate, 24; sample, 6

Fixed effects:
            Estimate Std. Error t value
(Intercept)  22.9722     0.8086   28.41
""",
        "short": """\
Linear mixed model fit by REML ['lmerMod']
Formula: diameter ~ (1 | plate) + (1 | sample)
   Data: Penicillin
REML criterion at convergence: 330.8606
Random effects:
 Groups   Name        Std.Dev.
 plate    (Intercept) 0.8467
 sample   (Intercept) 1.9316
 Residual             0.5499
Number of obs: 144, groups:  plate, 24; sample, 6
Fixed Effects:
(Intercept)
      22.97
""",
        "varcorr": """\
 Groups   Name        Std.Dev.
 plate    (Intercept) 0.84670
 sample   (Intercept) 1.93161
 Residual             0.54992
""",
    },
}

# anova(M14, M17, M16): npar, AIC, BIC and logLik of the ML fits, and what R prints
ML = {
    "M14": (6, 11897.6228593, 11928.1131109, -5942.81142967),
    "M16": (8, 11896.9645075, 11937.6181762, -5940.48225377),
    "M17": (7, 11894.9645075, 11930.5364676, -5940.48225377),
}
ANOVA = """\
Data: classroom_df
Models:
M14: mathscore ~ ses + (ses | schoolid)
M17: mathscore ~ ses + (ses | schoolid) + (1 | classid)
M16: mathscore ~ ses + (ses | schoolid) + ((1 | classid) + (0 + ses | classid))
    npar   AIC   BIC  logLik -2*log(L)  Chisq Df Pr(>Chisq)
M14    6 11898 11928 -5942.8     11886
M17    7 11895 11930 -5940.5     11881 4.6584  1     0.0309 *
M16    8 11897 11938 -5940.5     11881 0.0000  1     1.0000
---
Signif. codes:  0 '***' 0.001 '**' 0.01 '*' 0.05 '.' 0.1 ' ' 1
"""
ANOVA_M17 = """\
Analysis of Variance Table
    npar Sum Sq Mean Sq F value
ses    1  46418   46418  42.896
"""
ANOVA_SLEEP_WEIGHTS = """\
Analysis of Variance Table
     npar Sum Sq Mean Sq F value
Days    1  30520   30520  42.441
"""
