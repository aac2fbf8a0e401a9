#include "infoalign/threads.h"

#include <pthread.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>

namespace infoalign {

namespace {

/// One call of `run_shares`: whoever takes part draws share numbers from it until none is left.
class Job {
public:
    Job(int64_t shares, void (*share)(const void*, int64_t), const void* context)
        : shares_(shares), share_(share), context_(context) {}

    void take_part() {
        for (int64_t k = next_++; k < shares_; k = next_++) {
            std::exception_ptr failure;
            try {
                share_(context_, k);
            } catch (...) {
                failure = std::current_exception();
            }
            const std::lock_guard<std::mutex> lock(guard_);
            if (failure && !failure_) failure_ = failure;
            if (++done_ == shares_) ended_.notify_all();
        }
    }

    void wait() {
        std::unique_lock<std::mutex> lock(guard_);
        ended_.wait(lock, [&] { return done_ == shares_; });
        if (failure_) std::rethrow_exception(failure_);
    }

private:
    const int64_t shares_;
    void (*const share_)(const void*, int64_t);
    const void* const context_;
    std::atomic<int64_t> next_{0};
    std::mutex guard_;
    std::condition_variable ended_;
    int64_t done_ = 0;
    std::exception_ptr failure_;
};

/// Threads that wait for jobs. It is never destroyed, so that one still waiting when the process ends does no harm.
class Pool {
public:
    /// Offer a job to `helpers` threads.
    void offer(const std::shared_ptr<Job>& job, int64_t helpers) {
        const std::lock_guard<std::mutex> lock(guard_);
        try {
            for (; threads_ < helpers; ++threads_) std::thread([this] { serve(); }).detach();
        } catch (const std::system_error&) {
            // No more threads to be had: those there are, and the caller, do all.
        }
        for (int64_t k = 0; k < std::min(helpers, threads_); ++k) offers_.push_back(job);
        waiting_.notify_all();
    }

private:
    void serve() {
        for (;;) {
            std::shared_ptr<Job> job;
            {
                std::unique_lock<std::mutex> lock(guard_);
                waiting_.wait(lock, [&] { return !offers_.empty(); });
                job = std::move(offers_.front());
                offers_.pop_front();
            }
            job->take_part();
        }
    }

    std::mutex guard_;
    std::condition_variable waiting_;
    std::deque<std::shared_ptr<Job>> offers_;
    int64_t threads_ = 0;
};

std::atomic<Pool*> the_pool{nullptr};

Pool& pool() {
    static std::once_flag once;
    // A fork copies none of the threads, and whatever lock one of them held: the child begins anew.
    std::call_once(once, [] {
        pthread_atfork(nullptr, nullptr, [] { the_pool = nullptr; });
    });
    Pool* there = the_pool;
    if (there == nullptr) {
        auto made = std::make_unique<Pool>();
        if (the_pool.compare_exchange_strong(there, made.get())) there = made.release();
    }
    return *there;
}

}  // namespace

void run_shares(int64_t shares, int64_t threads, void (*share)(const void* context, int64_t k), const void* context) {
    const auto job = std::make_shared<Job>(shares, share, context);
    pool().offer(job, threads - 1);
    job->take_part();
    job->wait();
}

}  // namespace infoalign
