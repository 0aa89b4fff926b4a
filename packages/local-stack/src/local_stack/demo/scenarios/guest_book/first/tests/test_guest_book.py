"""What a guest sees and does."""

from fastapi.testclient import TestClient


def test_a_signed_entry_is_shown(client: TestClient) -> None:
    response = client.post("/entries", data={"name": "Ada", "message": "Lovely place"})
    assert response.status_code == 200
    assert "Ada" in response.text
    assert "Lovely place" in response.text


def test_the_newest_entry_stands_first(client: TestClient) -> None:
    client.post("/entries", data={"name": "Ada", "message": "the older one"})
    client.post("/entries", data={"name": "Ben", "message": "the newer one"})
    text = client.get("/").text
    assert text.index("the newer one") < text.index("the older one")


def test_an_empty_message_is_named_and_nothing_is_stored(client: TestClient) -> None:
    response = client.post("/entries", data={"name": "Ada", "message": "  "})
    assert response.status_code == 422
    assert "message" in response.text
    assert "Nobody has signed yet" in client.get("/").text


def test_what_people_type_is_escaped(client: TestClient) -> None:
    client.post("/entries", data={"name": "Eve", "message": "<script>alert(1)</script>"})
    assert "<script>alert(1)</script>" not in client.get("/").text
