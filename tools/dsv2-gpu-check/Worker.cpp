//===- Worker.cpp - runs cases in processes of their own ------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Worker.h"
#include "Support.h"

#include <nlohmann/json.hpp>

#include <chrono>
#include <cmath>
#include <csignal>
#include <cstring>

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace dsv2rt;
using namespace dsv2check;
using nlohmann::json;

/// Seconds that opening a device may take, and measuring its ceilings.
static constexpr double openLimit = 90, ceilingsLimit = 60;

static double now() {
  std::chrono::duration<double> time =
      std::chrono::steady_clock::now().time_since_epoch();
  return time.count();
}

//===----------------------------------------------------------------------===//
// What runs the cases
//===----------------------------------------------------------------------===//

namespace {

/// Hears of each step.
struct Listener {
  virtual ~Listener() = default;
  virtual void opened(const Device::Info &info) = 0;
  virtual void measured(const Ceilings &ceilings) = 0;
  virtual void begun(size_t index) = 0;
  virtual void ended(size_t index, const Outcome &outcome) = 0;
};

/// Runs items of a plan in this process.
class Runner {
public:
  Runner(const Plan &plan, Listener &listener)
      : plan(plan), listener(listener) {}

  /// Opens the device and runs the items from `next` on. Stops behind the first
  /// that spoilt the device; `next` is then where to go on.
  Status run(size_t &next, bool ceilings);

private:
  Outcome runItem(const Plan::Item &item);
  bool spoilt = false;

  const Plan &plan;
  Listener &listener;
  std::shared_ptr<Device> device;
  std::unique_ptr<CaseRunner> runner;
  std::string runnerProblem;
  StatusCode runnerCode = StatusCode::Ok;
  size_t runnerFile = size_t(-1);
};

Outcome Runner::runItem(const Plan::Item &item) {
  Outcome outcome;
  outcome.kind = Outcome::Kind::Failed;
  auto fail = [&](const Status &status) {
    outcome.text = status.message();
    if (status.code() == StatusCode::Unsupported)
      outcome.kind = Outcome::Kind::Unsupported;
    // What the driver reports once it reports for ever.
    spoilt = spoilt || status.code() == StatusCode::DeviceError;
    return outcome;
  };
  const Plan::File &file = plan.files[item.file];
  if (runnerFile != item.file) {
    runner.reset();
    Expected<std::unique_ptr<CaseRunner>> made =
        CaseRunner::create(device, file.cases, quote(file.path));
    runnerFile = item.file;
    runnerProblem = made.status().message();
    runnerCode = made.status().code();
    if (made.ok())
      runner = std::move(made.value());
  }
  if (!runner)
    return fail(Status::error(runnerCode, runnerProblem));
  const KernelCase &what = plan.at(item);
  if (plan.check) {
    Expected<CaseDeviation> found = runner->check(what);
    if (!found.ok())
      return fail(found.status());
    outcome.worst = found.value().worst;
    outcome.elements = found.value().elements;
    outcome.text = found.value().worstText;
    if (found.value().wrong) {
      outcome.text =
          strCat(found.value().wrong, " of ", found.value().elements,
                 " elements are wrong; the worst: ", found.value().worstText);
      return outcome;
    }
  }
  if (plan.bench && what.timed()) {
    CaseTiming timing;
    if (device->info().emulated)
      timing.minRuns = timing.maxRuns = 1;
    Expected<CaseTimes> times = runner->time(what, timing);
    if (!times.ok())
      return fail(times.status());
    outcome.times = times.value();
  }
  outcome.kind = Outcome::Kind::Passed;
  return outcome;
}

Status Runner::run(size_t &next, bool ceilings) {
  Expected<std::shared_ptr<Device>> opened = Device::open(plan.device);
  if (!opened.ok())
    return opened.status();
  device = std::move(opened.value());
  listener.opened(device->info());
  if (ceilings) {
    Expected<Ceilings> measured = measureCeilings(*device, plan.cublas);
    if (!measured.ok())
      return measured.status();
    listener.measured(measured.value());
  }
  for (; next < plan.items.size() && !spoilt; ++next) {
    listener.begun(next);
    listener.ended(next, runItem(plan.items[next]));
  }
  return Status();
}

//===----------------------------------------------------------------------===//
// Lines between processes
//===----------------------------------------------------------------------===//

/// In the child: writes each step as a line of JSON.
class LineWriter final : public Listener {
public:
  explicit LineWriter(int fd) : fd(fd) {}

  void opened(const Device::Info &info) override {
    write({{"device",
            {{"name", info.name},
             {"model", info.model},
             {"library", info.library},
             {"version", info.driverVersion},
             {"emulated", info.emulated},
             {"major", info.major},
             {"minor", info.minor},
             {"multiprocessors", info.multiprocessors},
             {"memory", info.memoryBytes},
             {"shared", info.sharedBytes},
             {"cache", info.cacheBytes}}}});
  }
  void measured(const Ceilings &ceilings) override {
    write({{"ceilings",
            {{"copy", ceilings.copyRate},
             {"product", ceilings.productRate},
             {"text", ceilings.productText}}}});
  }
  void begun(size_t index) override { write({{"begun", index}}); }
  void ended(size_t index, const Outcome &outcome) override {
    json line = {{"ended", index},
                 {"kind", int(outcome.kind)},
                 {"text", outcome.text},
                 // JSON has no infinity.
                 {"worst", std::min(outcome.worst, 1e300)},
                 {"elements", outcome.elements}};
    if (outcome.times)
      line["times"] = {outcome.times->median, outcome.times->fastest,
                       outcome.times->runs, outcome.times->sets};
    write(line);
  }
  void failed(const Status &status) {
    write({{"failed", int(status.code())}, {"text", status.message()}});
  }

private:
  void write(const json &value) {
    // Text from drivers need not be UTF-8.
    std::string line =
        value.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
    for (size_t done = 0; done < line.size();) {
      ssize_t now = ::write(fd, line.data() + done, line.size() - done);
      if (now < 0 && errno == EINTR)
        continue;
      // Nobody listens any more.
      if (now <= 0)
        _exit(1);
      done += size_t(now);
    }
  }

  int fd;
};

/// In the parent: a child and what it says.
class Child {
public:
  Child(const Plan &plan, size_t next, bool ceilings);
  ~Child();

  bool ok() const { return pid > 0; }
  /// The next line, an empty one at the end, or nothing when there was none
  /// until `deadline`.
  std::optional<std::string> readLine(double deadline);
  /// Ends the child and says how it ended.
  std::string finish(bool kill);

private:
  pid_t pid = -1;
  int fd = -1;
  std::string pending;
};

Child::Child(const Plan &plan, size_t next, bool ceilings) {
  int ends[2];
  if (pipe(ends) != 0)
    return;
  pid = fork();
  if (pid != 0) {
    close(ends[1]);
    fd = ends[0];
    return;
  }
  close(ends[0]);
  LineWriter writer(ends[1]);
  Status status = Runner(plan, writer).run(next, ceilings);
  if (!status.ok())
    writer.failed(status);
  // Without destructors: a context that failed may not come down.
  _exit(0);
}

Child::~Child() {
  finish(/*kill=*/true);
  if (fd >= 0)
    close(fd);
}

std::optional<std::string> Child::readLine(double deadline) {
  while (true) {
    size_t end = pending.find('\n');
    if (end != std::string::npos) {
      std::string line = pending.substr(0, end);
      pending.erase(0, end + 1);
      return line;
    }
    double left = std::max(deadline - now(), 0.0);
    pollfd waited = {fd, POLLIN, 0};
    int ready = poll(&waited, 1, int(std::min(left * 1e3 + 1, 1e9)));
    if (ready < 0 && errno == EINTR)
      continue;
    if (ready == 0)
      return std::nullopt;
    char buffer[4096];
    ssize_t count = read(fd, buffer, sizeof(buffer));
    if (count < 0 && errno == EINTR)
      continue;
    if (count <= 0)
      return std::string();
    pending.append(buffer, size_t(count));
  }
}

std::string Child::finish(bool kill) {
  if (pid <= 0)
    return {};
  if (kill)
    ::kill(pid, SIGKILL);
  int state = 0;
  while (waitpid(pid, &state, 0) < 0 && errno == EINTR)
    ;
  pid = -1;
  if (WIFSIGNALED(state))
    return strCat("its process ended by signal ", WTERMSIG(state), ", ",
                  strsignal(WTERMSIG(state)));
  return strCat("its process ended with code ", WEXITSTATUS(state));
}

} // namespace

//===----------------------------------------------------------------------===//
// The plan
//===----------------------------------------------------------------------===//

namespace {

/// Passes on what happens in this process.
class Forwarder final : public Listener {
public:
  Forwarder(const Plan &plan, Observer &observer)
      : plan(plan), observer(observer) {}
  void opened(const Device::Info &info) override { observer.device(info); }
  void measured(const Ceilings &ceilings) override {
    observer.ceilings(ceilings);
  }
  void begun(size_t) override {}
  void ended(size_t index, const Outcome &outcome) override {
    observer.done(plan.items[index], outcome);
  }

private:
  const Plan &plan;
  Observer &observer;
};

Device::Info readInfo(const json &value) {
  Device::Info info;
  info.name = value.at("name").get<std::string>();
  info.model = value.at("model").get<std::string>();
  info.library = value.at("library").get<std::string>();
  info.driverVersion = value.at("version").get<int>();
  info.emulated = value.at("emulated").get<bool>();
  info.major = value.at("major").get<int>();
  info.minor = value.at("minor").get<int>();
  info.multiprocessors = value.at("multiprocessors").get<int>();
  info.memoryBytes = value.at("memory").get<int64_t>();
  info.sharedBytes = value.at("shared").get<int64_t>();
  info.cacheBytes = value.at("cache").get<int64_t>();
  return info;
}

Outcome readOutcome(const json &value) {
  Outcome outcome;
  outcome.kind = Outcome::Kind(value.at("kind").get<int>());
  outcome.text = value.at("text").get<std::string>();
  outcome.worst = value.at("worst").get<double>();
  outcome.elements = value.at("elements").get<int64_t>();
  if (value.contains("times")) {
    const json &times = value.at("times");
    outcome.times =
        CaseTimes{times.at(0).get<double>(), times.at(1).get<double>(),
                  times.at(2).get<int64_t>(), times.at(3).get<int64_t>()};
  }
  return outcome;
}

/// Runs a plan in children.
class Supervisor {
public:
  Supervisor(const Plan &plan, Observer &observer)
      : plan(plan), observer(observer), end(now() + plan.budget) {}
  Status run();

private:
  Status runChild();
  void fail(size_t index, const std::string &why) {
    Outcome outcome;
    outcome.kind = Outcome::Kind::Failed;
    outcome.text = why;
    observer.done(plan.items[index], outcome);
  }

  const Plan &plan;
  Observer &observer;
  double end;
  /// The first item without an outcome.
  size_t next = 0;
  bool hasDevice = false, hasCeilings = false;
};

Status Supervisor::run() {
  // A child that dies while it is written to is found by its pipe.
  std::signal(SIGPIPE, SIG_IGN);
  while (next < plan.items.size() && now() < end) {
    Status status = runChild();
    if (!status.ok())
      return status;
  }
  for (; next < plan.items.size(); ++next) {
    Outcome outcome;
    outcome.text = "no time left";
    observer.done(plan.items[next], outcome);
  }
  return Status();
}

/// Runs items in one child until it ends.
Status Supervisor::runChild() {
  bool measures = plan.ceilings && !hasCeilings;
  Child child(plan, next, measures);
  if (!child.ok())
    return makeError(StatusCode::IoError,
                     "cannot start a process: ", std::strerror(errno));
  const size_t first = next;
  bool isOpen = false, inCase = false;
  double limit = openLimit, deadline = now() + openLimit;
  while (true) {
    std::optional<std::string> line = child.readLine(std::min(deadline, end));
    if (!line && now() >= end && !(inCase && now() >= deadline)) {
      // The budget, not the case.
      child.finish(/*kill=*/true);
      return Status();
    }
    if (!line || line->empty()) {
      std::string how = child.finish(/*kill=*/!line);
      if (!line)
        how = strCat("it took more than ", limit, " s");
      if (inCase) {
        fail(next++, how);
      } else if (measures && isOpen && !hasCeilings) {
        // Everything else can do without.
        observer.ceilings({0, 0, "measuring failed: " + how});
        hasCeilings = true;
      } else if (!line || next == first) {
        return makeError(StatusCode::DeviceError,
                         "the device could not be opened: ", how);
      }
      return Status();
    }
    json message = json::parse(*line);
    if (message.contains("failed"))
      return Status::error(StatusCode(message.at("failed").get<int>()),
                           message.at("text").get<std::string>());
    if (message.contains("device")) {
      isOpen = true;
      limit = measures ? ceilingsLimit : plan.caseLimit;
      if (!hasDevice)
        observer.device(readInfo(message.at("device")));
      hasDevice = true;
    } else if (message.contains("ceilings")) {
      const json &found = message.at("ceilings");
      observer.ceilings({found.at("copy").get<double>(),
                         found.at("product").get<double>(),
                         found.at("text").get<std::string>()});
      hasCeilings = true;
      limit = plan.caseLimit;
    } else if (message.contains("begun")) {
      inCase = true;
      limit = plan.caseLimit;
    } else {
      inCase = false;
      observer.done(plan.items[next++], readOutcome(message));
    }
    deadline = now() + limit;
  }
}

} // namespace

Status dsv2check::runPlan(const Plan &plan, Observer &observer) {
  return guarded([&]() -> Status {
    if (!plan.inProcess)
      return Supervisor(plan, observer).run();
    Forwarder forwarder(plan, observer);
    size_t next = 0;
    Status status = Runner(plan, forwarder).run(next, plan.ceilings);
    for (; status.ok() && next < plan.items.size(); ++next) {
      Outcome outcome;
      outcome.text = "the device failed in a case before";
      observer.done(plan.items[next], outcome);
    }
    return status;
  });
}
