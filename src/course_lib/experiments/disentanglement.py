"""Mutual information gap of β-VAEs against β (chapter 6)."""

from typing import Any

from course_lib import data
from course_lib.cards import Facts
from course_lib.disentanglement import mutual_information_gap
from course_lib.evaluation import evaluating
from course_lib.progress import progress
from course_lib.recipes.vae import train_beta_vae_discs
from course_lib.training import Runtime
from course_lib.vae import active_units, elbo

BETAS, SEEDS = (1.0, 4.0, 16.0), 4


def record_disentanglement(rt: Runtime, quiet: bool = False) -> Facts:
    """Mutual information gap of β-VAEs on moving discs, for three β and four seeds each (chapter 6)."""
    x, factors = data.moving_discs(5_000, seed=1)
    runs: dict[str, list[list[Any]]] = {key: [] for key in ("mig_per_factor", "mse", "kl", "active")}

    def one(beta: float, seed: int) -> dict[str, Any]:
        model, facts = train_beta_vae_discs(rt, True, beta=beta, seed=seed, images=300_000)
        with evaluating(model):
            terms = elbo(model, rt.place(x), rt.generator(3))
            means = model.encode(rt.place(x))[0]
            error = (model.images(means) - rt.place(x)).square().mean()
        return {
            "facts": facts,
            "mig_per_factor": mutual_information_gap(means.cpu(), factors).tolist(),
            "mse": float(error),
            "kl": float(terms.kl.mean()),
            "active": int(active_units(means).sum()),
        }

    with progress(SEEDS * len(BETAS), "disentanglement", unit=" runs", quiet=quiet) as bar:
        for seed in range(SEEDS):
            for row in runs.values():
                row.append([])
            for beta in BETAS:
                found = rt.part(f"{beta:g}-{seed}", lambda beta=beta, seed=seed: one(beta, seed))
                facts = found.pop("facts")
                for key, value in found.items():
                    runs[key][-1].append(value)
                bar.update(1)
    return {
        "data": facts["data"],
        "images_seen": facts["images_seen"],
        "n_test": len(x),
        "betas": BETAS,
        "seeds": SEEDS,
        "factors": data.FACTORS,
        **runs,
    }
