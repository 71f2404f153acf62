"""`passerby serve` on the command line. Oracle: the messages, and the file of tokens."""

from gallery.people import MODEL
from passerby.gallery.stores.opening import open_gallery
from passerby.serving.tokens import TokenFile


def test_tokens_are_made_listed_and_revoked(passerby, tmp_path):
    where = tmp_path / "people"
    open_gallery(where, model=MODEL).close()
    made = passerby("serve", where, "--new-token", "operate", "--token-name", "door")
    assert TokenFile(where).find(made.out.strip()).role == "operate"
    assert "shown once" in made.err
    assert passerby("serve", where, "--tokens").out == "operate  door\n"
    assert passerby("serve", where, "--revoke-token", "door").out == "door: revoked\n"
    assert passerby("serve", where, "--tokens").out == ""


def test_messages(passerby, tmp_path):
    where = tmp_path / "people"
    assert "no gallery here" in passerby("serve", where).error
    assert "no gallery here" in passerby("serve", where, "--new-token", "read").error
    open_gallery(where, model=MODEL).close()
    assert (
        "--new-token: got 'root', expected one of read, operate, admin"
        in passerby("serve", where, "--new-token", "root").error
    )
    assert (
        "--host 0.0.0.0: other machines can reach this address" in passerby("serve", where, "--host", "0.0.0.0").error
    )
    assert "--port: got 70000, expected 0 to 65535" in passerby("serve", where, "--port", "70000").error
    for words in ((), ("--tokens",), ("--revoke-token", "x")):
        assert "--token-name names a new token; give --new-token ROLE" in (
            passerby("serve", where, "--token-name", "door", *words).error
        )
    new, revoke = ("--new-token", "read"), ("--revoke-token", "x")
    for words in ((*new, *revoke), (*new, "--tokens"), (*revoke, "--tokens"), (*new, *revoke, "--tokens")):
        given = [word for word in ("--new-token", "--revoke-token", "--tokens") if word in words]
        assert (
            passerby("serve", where, *words).error == f"{' and '.join(given)}: give one of them, and repeat the command"
        )
    assert passerby("serve", where, "--tokens").out == ""
    assert passerby("serve", where, *new, "--token-name", "").error == (
        "--token-name: the name of a token is '', expected 1 to 255 characters"
    )
    for name in ("https://reid.example", "reid.example:80", "a b", ""):
        error = passerby("serve", where, "--allowed-host", name).error
        assert error.startswith(f"--allowed-host: got {name!r}, expected the name of a host, such as reid.example,")


def test_backup_and_restore(passerby, tmp_path):
    where = tmp_path / "people"
    open_gallery(where, model=MODEL).close()
    assert passerby("gallery", "backup", where, "--out", tmp_path / "copy").out.endswith("copy: 0 sightings\n")
    assert passerby("gallery", "restore", tmp_path / "copy", tmp_path / "again").out.endswith("again: 0 sightings\n")
    assert "exists and is not an empty folder" in passerby("gallery", "restore", tmp_path / "copy", where).error
