"""What somebody with a distance sees."""

from fastapi.testclient import TestClient


def test_a_distance_is_converted_and_remembered(client: TestClient) -> None:
    client.post("/conversions", data={"kilometres": "10"})
    text = client.post("/conversions", data={"kilometres": "1"}).text
    assert text.index("1 km are 0.621 miles") < text.index("10 km are 6.214 miles")


def test_what_is_no_number_is_refused(client: TestClient) -> None:
    response = client.post("/conversions", data={"kilometres": "far"})
    assert response.status_code == 422
    assert "far is not a number" in response.text
    assert "Nothing converted yet" in client.get("/").text
