"""Pictures of a fit as its methods (layer 7): each calls the function of `nestedmlm.plots`."""

from __future__ import annotations

from typing import Any


class Pictures:
    """What `LmerFit` and `BayesFit` can both draw; options go to `nestedmlm.plots`."""

    __slots__ = ()

    def plot_diagnostics(self, **options: Any) -> Any:
        """Residuals, spread, quantiles: see `nestedmlm.plots.diagnostics`."""
        from nestedmlm import plots

        return plots.diagnostics(self, **options)

    def plot_caterpillar(self, **options: Any) -> Any:
        """Random effects with intervals: see `nestedmlm.plots.caterpillar`.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
        >>> fit.plot_caterpillar().get_title(loc="left")
        '(Intercept) | Batch'
        """
        from nestedmlm import plots

        return plots.caterpillar(self, **options)

    def plot_shrinkage(self, x: str | None = None, **options: Any) -> Any:
        """Groups alone and in the model: see `nestedmlm.plots.shrinkage`."""
        from nestedmlm import plots

        return plots.shrinkage(self, x, **options)

    def plot_spaghetti(self, x: str | None = None, **options: Any) -> Any:
        """Lines of all groups: see `nestedmlm.plots.spaghetti`."""
        from nestedmlm import plots

        return plots.spaghetti(self, x, **options)

    def plot_trellis(self, x: str | None = None, **options: Any) -> Any:
        """One panel for each group: see `nestedmlm.plots.trellis`."""
        from nestedmlm import plots

        return plots.trellis(self, x, **options)

    def plot_forest(self, **options: Any) -> Any:
        """Coefficients with intervals: see `nestedmlm.plots.forest`."""
        from nestedmlm import plots

        return plots.forest(self, **options)

    def plot_effect(self, variable: str, **options: Any) -> Any:
        """Marginal means along a predictor: see `nestedmlm.plots.effect`."""
        from nestedmlm import plots

        return plots.effect(self, variable, **options)

    def plot_variance_partition(self, **options: Any) -> Any:
        """Shares of the variance by level: see `nestedmlm.plots.variance_partition`."""
        from nestedmlm import plots

        return plots.variance_partition(self, **options)

    def plot_singularity(self, **options: Any) -> Any:
        """Covariances of the random effects: see `nestedmlm.plots.singularity`."""
        from nestedmlm import plots

        return plots.singularity(self, **options)


class LikelihoodPictures(Pictures):
    """What only an `LmerFit` can draw."""

    __slots__ = ()

    def plot_likelihood(self, parameters: tuple[str, str] | None = None, **options: Any) -> Any:
        """The criterion over two parameters: see `nestedmlm.plots.likelihood_surface`."""
        from nestedmlm import plots

        return plots.likelihood_surface(self, parameters, **options)

    def plot_profile(self: Any, parm: Any = None, **options: Any) -> Any:
        """Profile zeta curves: see `nestedmlm.plots.profile_zeta`."""
        from nestedmlm import plots

        return plots.profile_zeta(self.profile(parm), **options)

    def plot_profile_pairs(self: Any, parm: Any = None, **options: Any) -> Any:
        """Joint regions of pairs of parameters: see `nestedmlm.plots.profile_pairs`."""
        from nestedmlm import plots

        return plots.profile_pairs(self.profile(parm), **options)

    def plot_leverage(self, **options: Any) -> Any:
        """Leverages and Cook's distances: see `nestedmlm.plots.leverage`."""
        from nestedmlm import plots

        return plots.leverage(self, **options)


class PosteriorPictures(Pictures):
    """What only a `BayesFit` can draw."""

    __slots__ = ()

    def plot_posterior(self, names: Any = None, **options: Any) -> Any:
        """Posteriors, traces, pairs: see `nestedmlm.plots.posterior`."""
        from nestedmlm import plots

        return plots.posterior(self, names, **options)
