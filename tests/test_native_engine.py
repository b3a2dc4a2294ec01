"""The native engine plays the same game as nes-py, and nothing from outside can break it."""

import threading
from pathlib import Path

import numpy as np
import pytest
from gym_super_mario_bros._roms import smb1_rom_path

from mario_a3c.envs import native_engine
from mario_a3c.envs import ram as fields
from mario_a3c.envs.native_engine import NativeEngine
from mario_a3c.envs.observation import close_up, downsample, grey
from mario_a3c.verify_engine.comparison import PLAYERS, Case, compare
from mario_a3c.verify_engine.undrawn import DECISION, PLAYED, STEPPED, Undrawn

is_there, why = native_engine.available()
pytestmark = pytest.mark.skipif(not is_there, reason=why)

RIGHT, RIGHT_AND_JUMP = 0x80, 0x81
ROM = Path(smb1_rom_path()).read_bytes()


def make_batch(rom=ROM, size=1):
    from mario_a3c import _native

    return _native.Batch(rom, size)


@pytest.fixture
def engine():
    return NativeEngine(1, 1, 2)


@pytest.fixture
def observation():
    return np.zeros((2, 84, 84), np.uint8)


def both(byte):
    return np.full(2, byte, np.uint8)


def frames(*counts):
    return np.array(counts, np.int32)


class TestEquality:
    @pytest.mark.parametrize("player", PLAYERS)
    @pytest.mark.parametrize(
        ("world", "stage", "lost_levels"),
        [(1, 1, False), (1, 2, False), (2, 2, False), (4, 4, False), (8, 4, False), (1, 1, True)],
    )
    def test_ram_screen_and_observation_equal_those_of_nes_py(
        self, world, stage, lost_levels, player
    ):
        case = Case(world, stage, lost_levels, player, frames=1500, seed=1)
        outcome = compare(case)
        assert outcome.differences == []
        assert outcome.frames == 1500
        assert outcome.screens >= 150
        assert outcome.decisions >= 1500 // 4

    @pytest.mark.parametrize(
        ("game", "how"), [(STEPPED, "stepped with the last frame drawn"), (PLAYED, "undrawn")]
    )
    def test_a_console_that_left_frames_undrawn_and_differs_is_told(self, game, how):
        drawn, undrawn = NativeEngine(1, 1, 1), Undrawn(1, 1, lost_levels=False)

        def decide():
            complete = [undrawn.press(RIGHT) for _ in range(DECISION)]
            assert complete == [False, False, False, True]
            drawn.step(both(RIGHT)[:1], frames(DECISION), np.zeros((1, 84, 84), np.uint8))
            return undrawn.differences(drawn, ended=False)

        undrawn.begin()
        assert decide() == []
        undrawn.engine.ram[game, 0x7FF] ^= 1
        assert decide() == [f"the game {how} is in another state"]

    def test_the_title_screen_equals_that_of_nes_py(self):
        from nes_py import NESEnv

        env, batch = NESEnv(smb1_rom_path()), make_batch()
        env.reset()
        rng = np.random.default_rng(0)
        for frame in range(400):
            byte = int(rng.integers(256)) if frame > 60 else 0
            env._frame_advance(byte)
            batch.run_frame(0, byte)
            assert np.array_equal(env.ram, batch.ram[0]), frame
            if frame > 1:
                assert np.array_equal(env.screen, batch.screen(0)), frame
        env.close()


class TestStep:
    def test_every_stage_begins_as_in_ram(self):
        for world in range(1, 9):
            for stage in range(1, 5):
                ram = NativeEngine(world, stage, 1).ram[0]
                assert (ram[0x75F] + 1, ram[0x75C] + 1) == (world, stage)

    def test_zero_frames_leave_a_console_and_its_observation_untouched(self, engine, observation):
        before = engine.save(1)
        observation[:] = 77
        ran, ended = engine.step(both(RIGHT), frames(4, 0), observation)
        assert ran.tolist() == [4, 0]
        assert not ended.any()
        assert engine.save(1) == before
        assert (observation[1] == 77).all()
        assert not (observation[0] == 77).all()

    def test_holding_a_button_is_pressing_it_every_frame(self, engine, observation):
        for _ in range(40):
            engine.step(both(RIGHT), frames(4, 1), observation)
            for _ in range(3):
                engine.step(both(RIGHT), frames(0, 1), observation)
            assert engine.save(0) == engine.save(1)
            assert np.array_equal(observation[0], observation[1])

    def test_a_game_that_ends_early_stops_and_keeps_its_observation(self, engine, observation):
        observation[:] = 77
        ran, ended = engine.step(both(RIGHT), frames(1000, 1000), observation)
        assert ended.all()
        assert (ran < 1000).all()
        assert (observation == 77).all()
        one_by_one = NativeEngine(1, 1, 1)
        for frame in range(ran[0]):
            _, over = one_by_one.step(both(RIGHT)[:1], frames(1), observation[:1])
            assert over[0] == (frame == ran[0] - 1)
        assert np.array_equal(one_by_one.ram[0], engine.ram[0])
        assert np.array_equal(one_by_one.screen(0), engine.screen(0))

    def test_observe_is_the_screen_as_observation_py_defines_it(self, engine, observation):
        engine.step(both(RIGHT_AND_JUMP), frames(30, 55), observation)
        for game in range(2):
            expected = downsample(grey(engine.screen(game)))
            assert np.array_equal(engine.observe(game), expected)
            assert np.array_equal(observation[game], expected)

    def test_a_close_view_is_the_one_that_observation_py_defines(self, observation):
        engine, rng = NativeEngine(1, 2, 2, view="close"), np.random.default_rng(3)
        places = set()
        for _ in range(150):
            held = rng.choice([RIGHT, RIGHT_AND_JUMP, 0x40], 2).astype(np.uint8)
            _, ended = engine.step(held, frames(9, 9), observation)
            for game in range(2):
                x = int(fields.x_on_screen(engine.ram)[game])
                y = int(fields.y_on_screen(engine.ram)[game])
                expected = close_up(grey(engine.screen(game)), x, y)
                assert np.array_equal(engine.observe(game), expected)
                assert ended[game] or np.array_equal(observation[game], expected)
                places.add((x // 8, y // 8))
                if ended[game]:
                    engine.reset(game)
        assert len(places) > 50

    def test_the_same_buttons_give_the_same_bytes(self, observation):
        def play():
            engine, rng = NativeEngine(3, 1, 2), np.random.default_rng(5)
            for _ in range(100):
                buttons = rng.integers(256, size=2, dtype=np.uint8)
                _, ended = engine.step(buttons, frames(4, 4), observation)
                for game in np.flatnonzero(ended).tolist():
                    engine.reset(game)
            return engine.save(0), engine.save(1), observation.tobytes()

        assert play() == play()

    def test_reset_brings_the_beginning_back(self, engine, observation):
        beginning, picture = engine.save(0), engine.screen(0)
        engine.step(both(RIGHT), frames(100, 0), observation)
        assert engine.save(0) != beginning
        engine.reset(0)
        assert engine.save(0) == beginning
        assert np.array_equal(engine.screen(0), picture)

    def test_ram_is_a_view_that_outlives_the_engine(self, observation):
        engine = NativeEngine(1, 1, 2)
        ram = engine.ram
        engine.step(both(RIGHT), frames(50, 0), observation)
        assert ram[0, 0x86] != ram[1, 0x86]
        ram[1, 0x75A] = 7
        assert engine.ram[1, 0x75A] == 7
        engine.close()
        del engine
        assert ram[1, 0x75A] == 7


class TestSnapshots:
    def test_a_loaded_snapshot_has_the_same_future(self, engine, observation):
        engine.step(both(RIGHT), frames(77, 0), observation)
        state = engine.save(0)
        engine.step(both(RIGHT_AND_JUMP), frames(60, 0), observation)
        picture, later = observation[0].copy(), engine.save(0)
        engine.load(1, state)
        assert engine.save(1) == state
        engine.step(both(RIGHT_AND_JUMP), frames(0, 60), observation)
        assert engine.save(1) == later
        assert np.array_equal(observation[1], picture)

    def test_a_snapshot_fits_every_stage_of_the_same_game(self, engine):
        other = NativeEngine(8, 4, 1)
        other.load(0, engine.save(0))
        assert np.array_equal(other.ram[0], engine.ram[0])

    def test_a_snapshot_of_another_game_is_refused(self, engine):
        lost_levels = NativeEngine(1, 1, 1, lost_levels=True)
        with pytest.raises(ValueError, match="another ROM"):
            engine.load(0, lost_levels.save(0))

    @pytest.mark.parametrize("position", [0, 5, 9, 17, 30, 2000, 2450, 3000, -1])
    def test_a_damaged_snapshot_is_refused_and_changes_nothing(self, engine, position):
        before = engine.save(0)
        damaged = bytearray(before)
        damaged[position] ^= 0x40
        with pytest.raises(ValueError, match="cannot load this snapshot"):
            engine.load(0, bytes(damaged))
        assert engine.save(0) == before

    @pytest.mark.parametrize("state", [b"", b"x", b"NROMSNP1", b"\0" * 4456, b"x" * 10000])
    def test_bytes_that_are_no_snapshot_are_refused(self, engine, state):
        with pytest.raises(ValueError, match="cannot load this snapshot"):
            engine.load(0, state)

    @pytest.mark.parametrize("missing", [1, 8, 2048, 4400])
    def test_a_truncated_snapshot_is_refused(self, engine, missing):
        with pytest.raises(ValueError, match=r"it has \d+ bytes instead of"):
            engine.load(0, engine.save(0)[:-missing])

    @pytest.mark.parametrize("state", [None, 3, "text", np.zeros(4, np.uint8)])
    def test_other_types_are_refused(self, engine, state):
        with pytest.raises(TypeError):
            engine.load(0, state)


class TestBadRoms:
    @staticmethod
    def with_byte(position, value):
        return ROM[:position] + bytes([value]) + ROM[position + 1 :]

    @pytest.mark.parametrize(
        ("rom", "why"),
        [
            (b"", "iNES header"),
            (b"NES\x1a", "iNES header"),
            (b"PK\x03\x04" + ROM[4:], "iNES header"),
            (ROM[:-1], "truncated"),
            (ROM[:16], "truncated"),
            (with_byte(6, 0x41), "needs mapper 4"),
            (with_byte(7, 0x10), "needs mapper 16"),
            (with_byte(6, 0x05), "trainer"),
            (with_byte(6, 0x09), "four-screen"),
            (with_byte(9, 0x01), "PAL"),
            (with_byte(4, 0), "0 program banks"),
            (with_byte(4, 3), "3 program banks"),
            (with_byte(5, 0), "0 character banks"),
        ],
    )
    def test_a_rom_that_cannot_be_played_is_refused_in_a_sentence(self, rom, why):
        with pytest.raises(ValueError, match=f"^cannot play this ROM: .*{why}.*\\.$"):
            make_batch(rom)

    def test_a_rom_of_one_program_bank_is_mirrored(self):
        one_bank = self.with_byte(4, 1)
        batch = make_batch(one_bank)
        batch.run_frame(0, 0)

    @pytest.mark.parametrize(
        ("position", "value", "why"),
        [(8, 0x01, "needs mapper 256"), (9, 0x01, "more banks"), (9, 0x10, "more banks")],
    )
    def test_what_a_nes_2_header_says_besides_is_not_overlooked(self, position, value, why):
        header = bytearray(ROM[:16])
        header[7] = 0x08
        make_batch(bytes(header) + ROM[16:])
        header[position] = value
        with pytest.raises(ValueError, match=f"^cannot play this ROM: .*{why}.*\\.$"):
            make_batch(bytes(header) + ROM[16:])

    @pytest.mark.parametrize("size", [0, -1, 5000])
    def test_a_batch_of_impossible_size_is_refused(self, size):
        with pytest.raises(ValueError, match="1 to 4096"):
            make_batch(size=size)


class TestBadArguments:
    @pytest.mark.parametrize("console", [-1, 2, 10**6])
    def test_a_console_that_is_not_there(self, engine, console):
        for call in (engine.reset, engine.save, engine.screen, engine.observe):
            with pytest.raises(IndexError, match="there is no console"):
                call(console)
        with pytest.raises(IndexError, match="there is no console"):
            engine.load(console, engine.save(0))

    @pytest.mark.parametrize(
        ("argument", "value", "error", "message"),
        [
            ("buttons", np.zeros(2, np.int64), TypeError, "buttons has dtype int64, not uint8"),
            ("buttons", np.zeros(3, np.uint8), ValueError, r"buttons has shape \[3\], not \[2\]"),
            ("buttons", np.zeros((2, 1), np.uint8), ValueError, "shape"),
            ("buttons", np.zeros(4, np.uint8)[::2], ValueError, "C-contiguous"),
            ("buttons", None, TypeError, "incompatible function arguments"),
            ("frames", np.zeros(2, np.int64), TypeError, "frames has dtype int64, not int32"),
            ("frames", np.zeros(2, ">i4"), TypeError, "dtype"),
            ("frames", np.array([1, -1], np.int32), ValueError, r"frames\[1\] is -1"),
            ("frames", np.zeros(9, np.uint8)[1:].view(np.int32), ValueError, "multiple of 4 bytes"),
            ("observation", np.zeros((2, 84, 84), np.int8), TypeError, "dtype int8"),
            ("observation", np.zeros((1, 84, 84), np.uint8), ValueError, "shape"),
            ("observation", np.zeros((84, 84, 2), np.uint8).T, ValueError, "C-contiguous"),
            ("observation", np.broadcast_to(np.uint8(0), (2, 84, 84)), ValueError, "contiguous"),
        ],
    )
    def test_wrong_arrays_are_refused_and_change_nothing(
        self, engine, observation, argument, value, error, message
    ):
        before = engine.save(0)
        arguments = {"buttons": both(0), "frames": frames(1, 1), "observation": observation}
        with pytest.raises(error, match=message):
            engine.step(**(arguments | {argument: value}))
        assert engine.save(0) == before

    def test_a_read_only_observation_is_refused(self, engine, observation):
        observation.flags.writeable = False
        with pytest.raises(ValueError, match="observation is read-only"):
            engine.step(both(0), frames(1, 1), observation)

    def test_a_batch_that_was_never_initialised_is_refused(self):
        from mario_a3c import _native

        batch = _native.Batch.__new__(_native.Batch)
        for call in (batch.__len__, lambda: batch.ram, lambda: batch.save(0)):
            with pytest.raises(RuntimeError, match="never initialised"):
                call()
        _native.Batch.__init__(batch, ROM, 1)
        assert len(batch) == 1

    def test_a_closed_engine_says_so_and_can_be_closed_again(self, engine, observation):
        engine.close()
        engine.close()
        for call in (lambda: engine.save(0), lambda: engine.step(both(0), both(1), observation)):
            with pytest.raises(RuntimeError, match="This engine has been closed"):
                call()

    def test_an_unknown_stage_is_refused(self):
        with pytest.raises(ValueError, match="target_world"):
            NativeEngine(9, 1, 1)
        with pytest.raises(ValueError, match="target_stage"):
            NativeEngine(1, 5, 1)


class TestThreads:
    def test_two_threads_play_as_one_does(self):
        def play(outcomes, key):
            engine, rng = NativeEngine(1, 1, 4), np.random.default_rng(key % 2)
            observation = np.zeros((4, 84, 84), np.uint8)
            for _ in range(60):
                buttons = rng.choice(np.array([RIGHT, RIGHT_AND_JUMP, 0], np.uint8), 4)
                _, ended = engine.step(buttons, np.full(4, 4, np.int32), observation)
                for game in np.flatnonzero(ended).tolist():
                    engine.reset(game)
            outcomes[key] = [engine.save(game) for game in range(4)]

        outcomes: dict[int, list[bytes]] = {}
        play(outcomes, 0)
        play(outcomes, 1)
        threads = [threading.Thread(target=play, args=(outcomes, key)) for key in (2, 3, 4, 5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert outcomes[2] == outcomes[4] == outcomes[0]
        assert outcomes[3] == outcomes[5] == outcomes[1]

    def test_one_batch_refuses_a_second_thread_at_the_same_time(self, engine, observation):
        started = threading.Event()

        def hold():
            started.set()
            engine.step(both(0), frames(3000, 0), observation)

        thread = threading.Thread(target=hold)
        thread.start()
        started.wait()
        refused = False
        while thread.is_alive() and not refused:
            try:
                engine.save(1)
            except RuntimeError as error:
                refused = "another thread" in str(error)
        thread.join()
        assert refused
        engine.save(1)
