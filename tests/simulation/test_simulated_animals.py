"""Laws of virtual species, populations, groups and their signals."""

import numpy as np
import pytest

from pseudorca.errors import SimulationError
from pseudorca.simulation import (
    KINDS,
    POPULATIONS,
    PSEUDORCA,
    draw_group,
    draw_scene,
    draw_virtual_species,
    population,
)
from pseudorca.simulation.animals import blend_groups, draw_parameters
from pseudorca.simulation.species import SHIFTING_TRAITS


def _parameters(name: str, effect: float, kind: str = "whistle", seed: int = 3) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    group = draw_group(rng)
    return draw_parameters(rng, population(name, effect), group, kind=kind, animal=2)


@pytest.mark.parametrize("kind", KINDS)
def test_population_without_effect_draws_the_same_parameters(kind: str) -> None:
    drawn = [_parameters(name, 0.0, kind) for name in POPULATIONS]
    assert drawn[0] == drawn[1] == drawn[2]
    assert population("Insular", 0.0).traits == PSEUDORCA.traits


@pytest.mark.parametrize("effect", [0.5, 2.0])
def test_population_effect_is_cohens_d_in_every_varying_trait(effect: float) -> None:
    rng = np.random.default_rng(0)
    starts = {}
    for name in ("Insular", "Pelagic"):
        species = population(name, effect)
        starts[name] = np.log(
            [
                draw_parameters(rng, species, draw_group(rng), kind="whistle", animal=0)["start_hz"]
                for _ in range(3000)
            ]
        )
    pooled = np.sqrt((starts["Insular"].var() + starts["Pelagic"].var()) / 2)
    d = (starts["Pelagic"].mean() - starts["Insular"].mean()) / pooled
    assert d == pytest.approx(effect, abs=0.12)
    for trait in SHIFTING_TRAITS:
        assert population("Pelagic", 1.0).traits[trait].centre > PSEUDORCA.traits[trait].centre


def test_population_of_northwestern_differs_from_each_other_in_half_of_the_traits() -> None:
    centres = {
        name: [population(name, 1.0).traits[trait].centre for trait in SHIFTING_TRAITS]
        for name in POPULATIONS
    }
    third = np.array(centres["Northwestern"])
    like_pelagic = third == np.array(centres["Pelagic"])
    like_insular = third == np.array(centres["Insular"])
    assert np.all(like_pelagic ^ like_insular)
    assert abs(like_pelagic.sum() - like_insular.sum()) <= 1


def test_population_of_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(SimulationError, match=r"Did you mean 'Pelagic'\?.*Insular"):
        population("Pelagc", 1.0)


def test_whistles_start_where_the_noaa_table_says() -> None:
    rng = np.random.default_rng(1)
    starts = np.array(
        [
            draw_parameters(rng, PSEUDORCA, draw_group(rng), kind="whistle", animal=0)["start_hz"]
            for _ in range(4000)
        ]
    )
    assert np.median(starts) == pytest.approx(6500.0, rel=0.03)
    assert np.mean((starts > 4000.0) & (starts < 8000.0)) == pytest.approx(0.79, abs=0.03)


@pytest.mark.parametrize(("likeness", "correlation"), [(0.0, 0.0), (0.5, 0.5), (1.0, 1.0)])
def test_blend_groups_correlates_by_the_likeness(likeness: float, correlation: float) -> None:
    rng = np.random.default_rng(2)
    shared = draw_group(rng, n_animals=400)
    first, second = (
        blend_groups(shared, draw_group(rng, n_animals=400), likeness) for _ in range(2)
    )
    measured = np.corrcoef(first.animals.ravel(), second.animals.ravel())[0, 1]
    assert measured == pytest.approx(correlation, abs=0.03)
    assert first.animals.std() == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("seed", range(20))
def test_draw_scene_keeps_signals_inside_the_clip(seed: int) -> None:
    rng = np.random.default_rng(seed)
    duration_s = float(rng.uniform(0.2, 5.0))
    scene = draw_scene(
        rng, draw_virtual_species(rng), draw_group(rng), duration_s, activity=2.0, require=KINDS
    )
    assert {signal.kind for signal in scene} == set(KINDS)
    assert [s.start_s for s in scene] == sorted(s.start_s for s in scene)
    for signal in scene:
        assert 0.0 <= signal.start_s < signal.end_s <= duration_s


def test_draw_scene_of_an_unknown_kind_is_an_error() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(SimulationError, match="whistle"):
        draw_scene(rng, PSEUDORCA, draw_group(rng), 1.0, require=("wistle",))


def test_virtual_species_stay_in_their_ranges_and_make_some_sound() -> None:
    rng = np.random.default_rng(4)
    all_species = [draw_virtual_species(rng) for _ in range(200)]
    for species in all_species:
        assert any(rate > 0 for rate in species.rates.values())
        for name, trait in PSEUDORCA.traits.items():
            low, high = trait.virtual_range
            assert low <= species.traits[name].centre <= high
    for kind in KINDS:
        assert 0.3 < np.mean([species.rates[kind] > 0 for species in all_species]) < 0.8
