"""Pictures of a fit as its methods: each calls the function of `nestedmlm.plots`."""

from __future__ import annotations

from typing import Any

from nestedmlm import plots


class Pictures:
    """What `LmerFit` and `BayesFit` can both draw; options go to `nestedmlm.plots`."""

    __slots__ = ()

    def plot_diagnostics(self: Any, **options: Any) -> Any:
        """Residuals, spread, quantiles: see `nestedmlm.plots.diagnostics`.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
        >>> len(fit.plot_diagnostics())
        4
        """
        return plots.diagnostics(self, **options)

    def plot_caterpillar(self: Any, **options: Any) -> Any:
        """Random effects with intervals: see `nestedmlm.plots.caterpillar`.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
        >>> fit.plot_caterpillar().get_title(loc="left")
        '(Intercept) | Batch'
        """
        return plots.caterpillar(self, **options)

    def plot_shrinkage(self: Any, x: str | None = None, **options: Any) -> Any:
        """Groups alone and in the model: see `nestedmlm.plots.shrinkage`.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
        >>> fit.plot_shrinkage().get_ylabel()
        'Days'
        """
        return plots.shrinkage(self, x, **options)

    def plot_spaghetti(self: Any, x: str | None = None, **options: Any) -> Any:
        """Lines of all groups: see `nestedmlm.plots.spaghetti`.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
        >>> fit.plot_spaghetti("Days").get_xlabel()
        'Days'
        """
        return plots.spaghetti(self, x, **options)

    def plot_trellis(self: Any, x: str | None = None, **options: Any) -> Any:
        """One panel for each group: see `nestedmlm.plots.trellis`.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
        >>> len(fit.plot_trellis(levels=["308", "309"]))
        2
        """
        return plots.trellis(self, x, **options)

    def plot_forest(self: Any, **options: Any) -> Any:
        """Coefficients with intervals: see `nestedmlm.plots.forest`.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
        >>> fit.plot_forest().get_xlabel()
        'estimate, 95 % interval'
        """
        return plots.forest(self, **options)

    def plot_effect(self: Any, variable: str, **options: Any) -> Any:
        """Marginal means along a predictor: see `nestedmlm.plots.effect`.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
        >>> fit.plot_effect("Days").get_ylabel()
        'Reaction'
        """
        return plots.effect(self, variable, **options)

    def plot_variance_partition(self: Any, **options: Any) -> Any:
        """Shares of the variance by level: see `nestedmlm.plots.variance_partition`.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("strength ~ 1 + (1 | batch/cask)", nm.load_dataset("Pastes"))
        >>> fit.plot_variance_partition().get_xlabel()
        'share of the variance, %'
        """
        return plots.variance_partition(self, **options)

    def plot_singularity(self: Any, **options: Any) -> Any:
        """Covariances of the random effects: see `nestedmlm.plots.singularity`.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
        >>> fit.plot_singularity().get_title(loc="left")
        'Subject: full rank'
        """
        return plots.singularity(self, **options)


class LikelihoodPictures(Pictures):
    """What only an `LmerFit` can draw."""

    __slots__ = ()

    def plot_likelihood(
        self: Any, parameters: tuple[str, str] | None = None, **options: Any
    ) -> Any:
        """The criterion over two parameters: see `nestedmlm.plots.likelihood_surface`.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("strength ~ 1 + (1 | batch/cask)", nm.load_dataset("Pastes"))
        >>> fit.plot_likelihood(size=5).get_title(loc="left")
        'REML criterion near the optimum'
        """
        return plots.likelihood_surface(self, parameters, **options)

    def plot_profile(self: Any, parm: Any = None, *, progress: bool = True, **options: Any) -> Any:
        """Profile zeta curves: see `nestedmlm.plots.profile_zeta`.

        ``progress=False`` profiles without a progress bar.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("strength ~ 1 + (1 | batch/cask)", nm.load_dataset("Pastes"))
        >>> [ax.get_xlabel() for ax in fit.plot_profile("sigma")]
        ['sigma']
        """
        return plots.profile_zeta(self.profile(parm, progress=progress), **options)

    def plot_profile_pairs(
        self: Any, parm: Any = None, *, progress: bool = True, **options: Any
    ) -> Any:
        """Joint regions of pairs of parameters: see `nestedmlm.plots.profile_pairs`.

        ``progress=False`` profiles without a progress bar.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("strength ~ 1 + (1 | batch/cask)", nm.load_dataset("Pastes"))
        >>> len(fit.plot_profile_pairs(["sigma", "(Intercept)"]))
        3
        """
        return plots.profile_pairs(self.profile(parm, progress=progress), **options)

    def plot_leverage(self: Any, **options: Any) -> Any:
        """Leverages and Cook's distances: see `nestedmlm.plots.leverage`.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
        >>> fit.plot_leverage().get_xlabel()
        'leverage'
        """
        return plots.leverage(self, **options)


class PosteriorPictures(Pictures):
    """What only a `BayesFit` can draw."""

    __slots__ = ()

    def plot_posterior(self: Any, names: Any = None, **options: Any) -> Any:
        """Posteriors, traces, pairs: see `nestedmlm.plots.posterior`.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> model = nm.Model("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
        >>> posterior = model.sample(sampler="psis", draws=100, seed=1)
        >>> posterior.plot_posterior(["sigma"]).get_title()
        'sigma'
        """
        return plots.posterior(self, names, **options)
