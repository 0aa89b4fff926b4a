"""Workflows, runs, jobs, their processes and artifacts."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from emulators.github.database import Database
from emulators.github.models import Artifact, Clock, Job, JsonObject, WorkflowRun, timestamp


@dataclass(frozen=True)
class NewRun:
    """What a run is created from; message set means that it could not start."""

    repository_id: int
    path: str
    name: str
    event: str
    ref: str
    head_branch: str
    head_sha: str
    display_title: str
    inputs: Mapping[str, object]
    payload: JsonObject
    server_url: str
    pull_number: int | None = None
    message: str | None = None


@dataclass(frozen=True)
class ActionsTable:
    """Rows of everything Actions."""

    database: Database
    clock: Clock

    def workflow_id(self, repository_id: int, path: str) -> int:
        """Return the id of a workflow file, new when it is seen for the first time."""
        row = self.database.one("SELECT id FROM workflows WHERE repository_id = ? AND path = ?", (repository_id, path))
        if row is not None:
            return int(row["id"])
        return self.database.insert(
            "INSERT INTO workflows (repository_id, path, created_at) VALUES (?, ?, ?)",
            (repository_id, path, timestamp(self.clock())),
        )

    def workflow_path(self, repository_id: int, workflow_id: int) -> str | None:
        """Return the path of a workflow id."""
        row = self.database.one(
            "SELECT path FROM workflows WHERE repository_id = ? AND id = ?", (repository_id, workflow_id)
        )
        return None if row is None else str(row["path"])

    def add_run(self, new: NewRun) -> WorkflowRun:
        """Insert a queued run, or a failed one when it carries a message."""
        workflow_id = self.workflow_id(new.repository_id, new.path)
        counted = self.database.one("SELECT count(*) AS n FROM runs WHERE workflow_id = ?", (workflow_id,))
        assert counted is not None
        now = timestamp(self.clock())
        failed = new.message is not None
        row_id = self.database.insert(
            "INSERT INTO runs (repository_id, workflow_id, path, name, run_number, run_attempt, event, ref, "
            "head_branch, head_sha, display_title, status, conclusion, message, inputs, payload, server_url, "
            "pull_number, cancelled, created_at, updated_at, run_started_at) "
            "VALUES (?, ?, ?, ?, ?, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?)",
            (
                new.repository_id,
                workflow_id,
                new.path,
                new.name,
                counted["n"] + 1,
                new.event,
                new.ref,
                new.head_branch,
                new.head_sha,
                new.display_title,
                "completed" if failed else "queued",
                "failure" if failed else None,
                new.message,
                json.dumps(dict(new.inputs)),
                json.dumps(new.payload),
                new.server_url,
                new.pull_number,
                now,
                now,
                now,
            ),
        )
        return self.run(row_id)

    def run(self, run_id: int) -> WorkflowRun:
        """Return the row of an id that exists."""
        found = self.find_run(run_id)
        assert found is not None
        return found

    def find_run(self, run_id: int) -> WorkflowRun | None:
        """Find a run by id."""
        row = self.database.one("SELECT * FROM runs WHERE id = ?", (run_id,))
        return None if row is None else WorkflowRun.of(row)

    def runs(self, repository_id: int) -> list[WorkflowRun]:
        """Return a repository's runs, newest first."""
        rows = self.database.all("SELECT * FROM runs WHERE repository_id = ? ORDER BY id DESC", (repository_id,))
        return [WorkflowRun.of(row) for row in rows]

    def runs_at(self, repository_id: int, sha: str) -> list[WorkflowRun]:
        """Return the runs of one commit, newest first."""
        rows = self.database.all(
            "SELECT * FROM runs WHERE repository_id = ? AND head_sha = ? ORDER BY id DESC", (repository_id, sha)
        )
        return [WorkflowRun.of(row) for row in rows]

    def unfinished_runs(self) -> list[WorkflowRun]:
        """Return every run that has no conclusion yet, oldest first."""
        rows = self.database.all("SELECT * FROM runs WHERE status != 'completed' ORDER BY id")
        return [WorkflowRun.of(row) for row in rows]

    def set_run(self, run_id: int, status: str, conclusion: str | None = None) -> None:
        """Move a run to a status."""
        self.database.execute(
            "UPDATE runs SET status = ?, conclusion = ?, updated_at = ? WHERE id = ?",
            (status, conclusion, timestamp(self.clock()), run_id),
        )

    def cancel_run(self, run_id: int) -> None:
        """Note that a run is to be cancelled."""
        self.database.execute("UPDATE runs SET cancelled = 1 WHERE id = ?", (run_id,))

    def restart_run(self, run_id: int, *, new_attempt: bool) -> None:
        """Put a run back to the start, its jobs forgotten; a new attempt is counted and forgets a cancel."""
        now = timestamp(self.clock())
        self.database.execute("DELETE FROM jobs WHERE run_id = ?", (run_id,))
        self.database.execute("DELETE FROM artifacts WHERE run_id = ?", (run_id,))
        self.database.execute(
            "UPDATE runs SET status = 'queued', conclusion = NULL, updated_at = ?, run_started_at = ?, "
            "run_attempt = run_attempt + ?, cancelled = cancelled * ? WHERE id = ?",
            (now, now, int(new_attempt), int(not new_attempt), run_id),
        )

    def add_jobs(self, run_id: int, jobs: Sequence[tuple[str, str]]) -> None:
        """Insert the queued jobs of a run, given as (key, name)."""
        for key, name in jobs:
            self.database.insert(
                "INSERT INTO jobs (run_id, key, name, status, created_at, steps) VALUES (?, ?, ?, 'queued', ?, '[]')",
                (run_id, key, name, timestamp(self.clock())),
            )

    def jobs(self, run_id: int) -> list[Job]:
        """Return the jobs of a run in the order of its file."""
        rows = self.database.all("SELECT * FROM jobs WHERE run_id = ? ORDER BY id", (run_id,))
        return [Job.of(row) for row in rows]

    def find_job(self, job_id: int) -> Job | None:
        """Find a job by id."""
        row = self.database.one("SELECT * FROM jobs WHERE id = ?", (job_id,))
        return None if row is None else Job.of(row)

    def start_job(self, job_id: int, name: str) -> None:
        """Mark a job as running under its evaluated name."""
        self.database.execute(
            "UPDATE jobs SET status = 'in_progress', name = ?, started_at = ? WHERE id = ?",
            (name, timestamp(self.clock()), job_id),
        )

    def set_steps(self, job_id: int, steps: Sequence[JsonObject]) -> None:
        """Write the steps of a job as far as they are known."""
        self.database.execute("UPDATE jobs SET steps = ? WHERE id = ?", (json.dumps(list(steps)), job_id))

    def finish_job(self, job_id: int, conclusion: str) -> None:
        """Give a job its conclusion."""
        now = timestamp(self.clock())
        self.database.execute(
            "UPDATE jobs SET status = 'completed', conclusion = ?, started_at = coalesce(started_at, ?), "
            "completed_at = ? WHERE id = ?",
            (conclusion, now, now, job_id),
        )

    def jobs_at(self, repository_id: int, sha: str) -> list[tuple[WorkflowRun, Job]]:
        """Return all jobs whose run belongs to a commit, newest first: the check runs of that commit."""
        pairs = [(run, job) for run in self.runs_at(repository_id, sha) for job in self.jobs(run.id)]
        return sorted(pairs, key=lambda pair: pair[1].id, reverse=True)

    def note_process(self, job_id: int, group_id: int, start_ticks: int) -> None:
        """Remember a process group so that a restarted emulator can end it."""
        self.database.execute("INSERT OR REPLACE INTO processes VALUES (?, ?, ?)", (job_id, group_id, start_ticks))

    def forget_processes(self, job_id: int) -> None:
        """Forget a job's process groups."""
        self.database.execute("DELETE FROM processes WHERE job_id = ?", (job_id,))

    def processes(self) -> list[tuple[int, int, int]]:
        """Return (job id, group id, start ticks) of all remembered groups."""
        rows = self.database.all("SELECT * FROM processes")
        return [(row["job_id"], row["group_id"], row["start_ticks"]) for row in rows]

    def add_artifact(self, run_id: int, name: str) -> Artifact | None:
        """Insert an artifact; None when the run already has one of that name."""
        if any(artifact.name == name for artifact in self.artifacts(run_id)):
            return None
        row_id = self.database.insert(
            "INSERT INTO artifacts (run_id, name, size, created_at) VALUES (?, ?, 0, ?)",
            (run_id, name, timestamp(self.clock())),
        )
        return self.find_artifact(row_id)

    def size_artifact(self, artifact_id: int, size: int) -> None:
        """Set an artifact's size in bytes."""
        self.database.execute("UPDATE artifacts SET size = ? WHERE id = ?", (size, artifact_id))

    def find_artifact(self, artifact_id: int) -> Artifact | None:
        """Find an artifact by id."""
        row = self.database.one("SELECT * FROM artifacts WHERE id = ?", (artifact_id,))
        return None if row is None else Artifact.of(row)

    def artifacts(self, run_id: int) -> list[Artifact]:
        """Return the artifacts of a run."""
        rows = self.database.all("SELECT * FROM artifacts WHERE run_id = ? ORDER BY id", (run_id,))
        return [Artifact.of(row) for row in rows]
