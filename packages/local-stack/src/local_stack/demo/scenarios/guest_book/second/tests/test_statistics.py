"""What the statistics page counts."""

from fastapi.testclient import TestClient


def test_an_empty_book_counts_nothing(client: TestClient) -> None:
    text = client.get("/statistics").text
    assert "Entries: 0" in text
    assert "People: 0" in text


def test_entries_and_people_are_counted(client: TestClient) -> None:
    for name in ("Ada", "Ada", "Ben"):
        client.post("/entries", data={"name": name, "message": "hello"})
    text = client.get("/statistics").text
    assert "Entries: 3" in text
    assert "People: 2" in text
    assert text.index("Ada: 2") < text.index("Ben: 1")


def test_the_guest_book_links_to_the_statistics(client: TestClient) -> None:
    assert 'href="/statistics"' in client.get("/").text
