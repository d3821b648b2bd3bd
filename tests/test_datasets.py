"""Names of RAVDESS and CREMA-D say exactly what they say, and odd ones are listed with the reason."""

from __future__ import annotations

import pytest

from distributed.datasets import (
    CREMA_D_LABELS,
    RAVDESS_LABELS,
    RAVDESS_SONG_LABELS,
    OddNameError,
    Skipped,
    Value,
    parse_crema_d,
    parse_ravdess,
    read_crema_d,
    read_ravdess,
)


def test_the_label_orders_are_fixed() -> None:
    assert ",".join(RAVDESS_LABELS) == "neutral,calm,happy,sad,angry,fearful,disgust,surprised"
    assert ",".join(RAVDESS_SONG_LABELS) == "neutral,calm,happy,sad,angry,fearful"
    assert ",".join(CREMA_D_LABELS) == "angry,disgust,fearful,happy,neutral,sad"
    assert set(CREMA_D_LABELS) < set(RAVDESS_LABELS)


@pytest.mark.parametrize("code", range(1, 9))
def test_the_emotion_codes_of_ravdess_are_places_in_the_label_order(code: int) -> None:
    assert parse_ravdess(f"01-01-{code:02d}-01-01-01-01.mp4").label_name == RAVDESS_LABELS[code - 1]


def test_a_ravdess_name_is_read_field_by_field() -> None:
    video = parse_ravdess("Video_Speech_Actor_12/Actor_12/02-01-06-02-01-02-12.MP4")
    assert (video.label_name, video.actor) == ("fearful", "12")
    assert video.extra == {
        "modality": "video-only",
        "channel": "speech",
        "intensity": "strong",
        "statement": "kids",
        "repetition": 2,
        "sex": "female",
    }
    other = parse_ravdess("01-02-01-01-02-01-23.mp4").extra
    assert other == {
        "modality": "audio-video",
        "channel": "song",
        "intensity": "normal",
        "statement": "dogs",
        "repetition": 1,
        "sex": "male",
    }


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("01-01-09-01-01-01-01.mp4", "emotion 09 is not one of 01 to 08"),
        ("01-01-00-01-01-01-01.mp4", "emotion 00"),
        ("04-01-01-01-01-01-01.mp4", "modality 04"),
        ("01-03-01-01-01-01-01.mp4", "channel 03"),
        ("01-01-03-03-01-01-01.mp4", "intensity 03"),
        ("01-01-03-01-03-01-01.mp4", "statement 03"),
        ("01-01-03-01-01-03-01.mp4", "repetition 03"),
        ("01-01-03-01-01-01-25.mp4", "actor 25"),
        ("01-01-03-01-01-01-00.mp4", "actor 00"),
        ("01-01-01-02-01-01-01.mp4", "neutral has no strong intensity"),
        ("01-02-07-01-01-01-01.mp4", "song has no disgust"),
        ("01-02-08-01-01-01-01.mp4", "song has no surprised"),
        ("Actor_02/01-01-03-01-01-01-01.mp4", "the name says actor 01, the folder Actor_02"),
        ("Actor_01/Actor_02/x/01-01-03-01-01-01-01.mp4", "the folder Actor_02"),
        ("01-01-03-01-01-01-01 (1).mp4", "not a RAVDESS name"),
        ("01-01-03-01-01-01.mp4", "not a RAVDESS name"),
        ("1-1-3-1-1-1-1.mp4", "not a RAVDESS name"),
        ("٠١-01-03-01-01-01-01.mp4", "not a RAVDESS name"),
        ("._01-01-03-01-01-01-01.mp4", "not a RAVDESS name"),
    ],
)
def test_odd_ravdess_names(file: str, reason: str) -> None:
    with pytest.raises(OddNameError, match=reason.replace("(", r"\(")):
        parse_ravdess(file)


def test_a_crema_d_name_is_read_field_by_field() -> None:
    video = parse_crema_d("VideoFlash/1001_IEO_ANG_HI.flv")
    assert (video.label_name, video.actor) == ("angry", "1001")
    assert video.extra == {"sentence": "IEO", "level": "HI"}
    codes = [parse_crema_d(f"1091_TSI_{code}_XX.flv").label_name for code in ("ANG", "DIS", "FEA", "HAP", "NEU", "SAD")]
    assert codes == list(CREMA_D_LABELS)


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("1001_IEO_ANG.flv", "not a CREMA-D name"),
        ("1001_IEO_ANG_HI_2.flv", "not a CREMA-D name"),
        ("1092_IEO_ANG_HI.flv", "actor 1092"),
        ("999_IEO_ANG_HI.flv", "actor 999"),
        ("1001_XYZ_ANG_HI.flv", "sentence XYZ"),
        ("1001_IEO_SUR_HI.flv", "emotion SUR"),
        ("1001_IEO_ang_HI.flv", "emotion ang"),
        ("1001_IEO_ANG_X.flv", "level X is not one of LO, MD, HI, XX"),
    ],
)
def test_odd_crema_d_names(file: str, reason: str) -> None:
    with pytest.raises(OddNameError, match=reason):
        parse_crema_d(file)


def test_other_modalities_and_channels_are_counted_and_odd_videos_listed_and_other_files_ignored() -> None:
    files = [
        "Actor_01/01-01-03-01-01-01-01.mp4",
        "Actor_01/02-01-03-01-01-01-01.mp4",
        "Actor_01/01-02-03-01-01-01-01.mp4",
        "Actor_01/03-01-03-01-01-01-01.wav",
        "Actor_01/odd.mp4",
        "readme.txt",
    ]
    reading = read_ravdess(files, modality="01", channels=("speech",))
    assert [video.file for video in reading.videos] == ["Actor_01/01-01-03-01-01-01-01.mp4"]
    assert reading.num_not_chosen == 2
    assert reading.skipped == [
        Skipped("Actor_01/odd.mp4", "not a RAVDESS name: seven two-digit fields joined by hyphens")
    ]
    assert reading.label_names == RAVDESS_LABELS
    both = read_ravdess(files, modality="01", channels=("song", "speech"))
    assert (len(both.videos), both.num_not_chosen, both.label_names) == (2, 1, RAVDESS_LABELS)
    song = read_ravdess(files, modality="01", channels=("song",))
    assert (len(song.videos), song.label_names) == (1, RAVDESS_SONG_LABELS)


def test_an_actor_whom_the_table_does_not_know_is_unknown_and_not_null() -> None:
    known: dict[str, dict[str, Value]] = {
        "1001": {"age": 51, "sex": "male", "race": "Caucasian", "ethnicity": "Not Hispanic"}
    }
    one, other = read_crema_d(["1001_IEO_ANG_HI.flv", "1002_IEO_ANG_HI.flv"], known).videos
    assert one.extra == {"sentence": "IEO", "level": "HI", **known["1001"]}
    unknown = {"age": -1, "sex": "unknown", "race": "unknown", "ethnicity": "unknown"}
    assert other.extra == {"sentence": "IEO", "level": "HI", **unknown}
