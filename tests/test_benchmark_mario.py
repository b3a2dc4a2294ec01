"""The benchmark of Mario's agents: what it tells of how they were trained."""

from mario_a3c.benchmark.mario import means_of, training_in_all
from mario_a3c.config import RunConfig


def stage(greedy, sampled, steps, seconds):
    """Figures of a stage's agent, as they stand in the results."""
    told = {"greedy": greedy, "sampled": sampled, "episodes": 200}
    return told | {"steps": steps, "seconds": seconds}


def test_what_all_stages_took_is_added_up_and_those_that_finish_are_counted():
    results = {
        "mario-1-1": stage(greedy=True, sampled=160, steps=1_000_000, seconds=5400),
        "mario-1-2": stage(greedy=True, sampled=159, steps=2_000, seconds=1800),
        "mario-1-3": stage(greedy=False, sampled=200, steps=0, seconds=0),
        "CartPole-v1": {"steps": 5_000_000, "seconds": 1e6},
    }
    told = training_in_all(results)
    assert "Of 3 stages 2 are finished greedily and 2 in at least 80%" in told
    assert "1,002,000 steps and 2.0 hours" in told


def test_a_network_without_an_lstm_is_told_among_the_means():
    assert "no LSTM" in means_of(RunConfig(recurrent=False).to_dict(), [])
    assert "no LSTM" not in means_of(RunConfig().to_dict(), [])
