"""The engine client's wrapper, over a mock of the engine's own client."""

from __future__ import annotations

from unittest.mock import MagicMock, patch

from docker.models.containers import ExecResult

from worker_manager.docker_ops import DockerClientWrapper


class TestDockerExec:
    async def test_exec_in_container_returns_exit_code_and_output(self) -> None:
        """exec_in_container should return (exit_code, output)."""
        with patch("worker_manager.docker_ops.docker.from_env") as mock:
            mock_container = MagicMock()
            mock_container.exec_run.return_value = ExecResult(exit_code=0, output=b"hello")
            mock.return_value.containers.get.return_value = mock_container

            wrapper = DockerClientWrapper()
            exit_code, output = await wrapper.exec_in_container("c-123", "echo hello")

            assert exit_code == 0
            assert "hello" in output

    async def test_exec_in_container_handles_failure(self) -> None:
        """Should handle non-zero exit codes."""
        with patch("worker_manager.docker_ops.docker.from_env") as mock:
            mock_container = MagicMock()
            mock_container.exec_run.return_value = ExecResult(exit_code=1, output=b"error")
            mock.return_value.containers.get.return_value = mock_container

            wrapper = DockerClientWrapper()
            exit_code, _ = await wrapper.exec_in_container("c-123", "bad command")

            assert exit_code == 1

    async def test_commands_run_as_the_worker_and_bytes_that_are_no_text_do_not_break_the_answer(self) -> None:
        with patch("worker_manager.docker_ops.docker.from_env") as mock:
            mock_container = MagicMock()
            mock_container.exec_run.return_value = ExecResult(exit_code=0, output=b"\xff ok")
            mock.return_value.containers.get.return_value = mock_container

            _, output = await DockerClientWrapper().exec_in_container("c-123", ["id"])

            assert output.endswith(" ok")
            mock_container.exec_run.assert_called_once_with(["id"], user="worker")
