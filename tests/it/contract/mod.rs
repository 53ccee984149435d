//! What every backend of the store must do: one list of cases, run against each.
//!
//! A case is a function that gets a fresh store and a clock that stands still. A case that is written but not listed is an
//! unused function, which the lints refuse. [`fixture`] has what the cases share.

mod accepting;
mod accounts;
mod archives;
mod changes;
mod consent;
mod contents;
mod conversations;
mod credits;
mod deliveries;
pub(crate) mod elsewhere;
mod erasing;
pub(crate) mod fixture;
mod forgotten;
mod gathering;
pub(crate) mod graph;
mod graph_bounds;
mod graph_model;
mod interleavings;
mod isolation;
mod jobs;
mod json_files;
mod keeping;
mod left_over;
mod listings;
mod merging;
mod pairs;
mod quota_races;
pub(crate) mod schedules;
mod sqlite_file;
mod steps;
mod summaries;
mod todos;
mod turns;
mod two_pollers;

use fixture::Fixture;

/// Runs a case on a backend, in a runtime of its own.
fn run<F: Future<Output = ()>>(backend: &str, case: impl FnOnce(Fixture) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(case(Fixture::open(backend)));
}

/// A case, on a store that is given to it.
#[cfg(feature = "mongodb")]
pub(crate) type Case = fn(Fixture) -> std::pin::Pin<Box<dyn Future<Output = ()>>>;

/// Lists the backends and the cases, and makes each case a test on each backend: `contract::sqlite::turns::…`.
macro_rules! contract {
    (backends { $($(#[$only:meta])? $backend:ident),+ $(,)? } $($module:ident $cases:tt)*) => {
        contract!(@each { $($module $cases)* } $([$($only)?] $backend)+);
        contract!(@cases { $($module $cases)* });

        /// The backends that the list runs against.
        const TESTED: &[&str] = &[$($(#[$only])? stringify!($backend)),+];
    };
    (@each $list:tt $($only:tt $backend:ident)+) => {
        $(contract!(@backend $only $backend $list);)+
    };
    (@cases { $($module:ident { $($case:ident),* $(,)? })* }) => {
        /// Every case, by its module and its own name, for who runs some of them elsewhere.
        #[cfg(feature = "mongodb")]
        pub(crate) const CASES: &[(&str, &str, Case)] = &[$($((stringify!($module), stringify!($case), |f| Box::pin($module::$case(f))),)*)*];
    };
    (@backend [$($only:meta)?] $backend:ident { $($module:ident { $($case:ident),* $(,)? })* }) => {
        $(#[$only])?
        mod $backend {
            $(mod $module {
                $(#[test]
                fn $case() {
                    crate::contract::run(stringify!($backend), crate::contract::$module::$case);
                })*
            })*
        }
    };
}

contract! {
    backends { sqlite, json, #[cfg(feature = "mongodb")] mongodb }

    archives {
        an_archive_fits_together_and_is_byte_equal_when_written_from_where_it_was_restored,
        a_store_in_use_is_whole,
        two_people_with_one_receipt_are_refused_with_the_line,
    }
    elsewhere {
        what_ends_in_another_process_is_seen_here,
    }
    erasing {
        whoever_is_erased_is_nobody_at_once_and_gone_bit_by_bit,
        who_works_for_somebody_who_is_erased_has_lost_the_lease,
        an_opt_out_outlives_its_person_without_the_number,
    }
    keeping {
        whatever_a_store_holds_comes_out_and_goes_into_another,
        one_persons_records_are_those_of_the_whole,
        a_snapshot_is_of_one_moment,
        a_word_that_was_just_said_is_kept,
        restoring_goes_on_where_it_was_interrupted,
        nobody_restores_into_a_store_that_another_has_open_and_nobody_opens_one_that_is_restored,
        only_an_empty_store_is_restored_into_and_what_contradicts_is_refused,
    }
    accepting {
        a_first_text_makes_the_person_and_the_conversation,
        a_repeat_gets_the_receipt_of_the_first_time,
        a_receipt_is_found_by_the_door_that_its_message_came_in_by,
        fifty_first_texts_at_once_make_one_person_and_one_chain,
        a_text_whose_taker_left_at_any_moment_is_whole_or_not_there,
    }
    accounts {
        an_account_is_opened_once_and_its_first_text_finds_it,
        many_who_ask_at_once_get_one_account,
        the_shared_account_has_no_phone_and_one_id,
    }
    changes {
        a_change_is_made_with_its_word_and_only_once,
        where_there_is_nothing_to_change_the_answer_says_so,
        who_is_refused_changes_nothing,
        a_fact_is_forgotten_by_a_number_that_never_means_another,
        a_schedule_is_made_and_removed_with_its_word,
    }
    consent {
        an_opt_out_stops_everything_but_its_confirmation,
        the_word_of_a_stranger_is_kept_for_when_they_come,
        a_word_found_late_does_not_undo_a_later_one,
        a_word_is_confirmed_when_it_changes_something,
        a_word_of_a_clock_that_is_ahead_holds_from_now,
        the_word_of_a_blocked_person_holds,
        what_the_carrier_says_is_a_word_said_now,
        a_blocked_person_is_refused_and_owed_nothing,
    }
    conversations {
        the_newest_is_continued_within_its_window,
        a_named_conversation_must_be_the_senders,
        a_closed_conversation_is_left_by_phone,
        an_explicit_choice_stays_with_the_conversation,
        a_deleted_conversation_is_gone_and_stays_gone,
        conversations_are_listed_by_their_newest_message,
    }
    credits {
        a_reply_holds_before_and_settles_after,
        what_was_held_is_free_again_without_an_answer,
        a_turn_that_dies_is_charged_once_for_what_its_steps_cost,
        credits_come_back_once_a_period,
        a_person_is_told_once,
    }
    deliveries {
        parts_leave_one_after_the_other,
        a_refused_attempt_is_repeated_when_due,
        what_was_perhaps_sent_is_looked_up_before_it_is_sent_again,
        an_attempt_whose_process_died_is_looked_up,
        what_a_process_left_to_be_sent_itself_is_leased_by_it_once,
        what_is_too_old_is_not_sent,
        a_dead_letter_lets_the_next_one_go,
        an_opt_out_that_the_carrier_knows_of_is_recorded,
        a_status_never_goes_back,
        a_report_that_comes_before_the_answer_counts,
        more_lets_kept_parts_go_in_order,
        more_is_the_rest_of_the_newest_long_reply,
        people_are_sent_to_side_by_side,
        what_another_gateway_is_to_carry_waits_for_who_has_it,
        a_lane_whose_head_became_foreign_waits_without_spinning,
        a_look_up_leaves_out_what_was_attempted_since,
    }
    gathering {
        texts_join_by_the_table,
        gathered_texts_are_one_turn_in_their_order,
        a_text_of_another_conversation_does_not_join,
        a_consent_word_does_not_wait_for_what_gathers,
    }
    graph {
        an_entity_that_is_there_is_merged,
        names_and_observations_are_one_in_both_unicode_forms,
        texts_of_every_kind_are_kept_and_found,
        relations_need_both_ends,
        observations_for_nobody_are_refused_and_nothing_is_written,
        what_is_deleted_is_counted_and_gone,
        limits_hold_and_what_they_refuse_is_not_written,
        everything_that_contains_the_query_is_found_the_best_first,
        hits_come_with_their_relations,
        a_graph_is_read_part_by_part,
        what_lies_around_an_entity_is_found_nearest_first,
        an_overview_counts_what_is_there,
        facts_are_listed_newest_first_and_deleted_by_number,
        a_text_recalls_what_it_is_about,
        two_people_with_the_same_names_have_two_graphs,
        an_import_is_whole_and_can_be_repeated,
        writers_side_by_side_lose_nothing,
        ten_thousand_entities_are_paged_and_found,
    }
    graph_bounds {
        observations_and_relations_of_a_person_are_limited,
        close_names_are_told_for_the_first_missing_ones,
        observations_are_given_as_far_as_there_is_room,
    }
    graph_model {
        random_calls_do_what_a_simple_model_does,
    }
    interleavings {
        whatever_the_order_nothing_is_lost_or_done_twice,
    }
    isolation {
        another_persons_ids_give_nothing,
    }
    jobs {
        jobs_are_listed_replies_first,
        a_dead_turn_is_replayed_behind_what_was_said_since,
        a_job_is_discarded_unless_it_runs_or_is_done,
        deliveries_are_replayed_and_discarded,
    }
    left_over {
        a_large_graph_is_empty_at_once_and_erased_step_by_step,
    }
    merging {
        two_accounts_become_one_person,
        who_is_worked_for_or_has_too_much_is_not_merged,
        a_number_is_taken_over_where_there_was_none_and_the_more_careful_word_holds,
        what_was_merged_is_whole_and_stays_so,
    }
    quota_races {
        one_of_sixteen_gets_the_last_entity,
        one_of_sixteen_gets_the_last_observation_and_the_last_relation,
        one_of_sixteen_gets_the_last_item,
        one_of_sixteen_gets_the_last_schedule,
    }
    listings {
        texts_of_every_kind_come_back_as_they_were,
        messages_are_searched_for_exactly_what_was_written,
        all_messages_are_listed_newest_first_page_by_page,
        ten_thousand_messages_are_listed_each_once_and_their_receipts_found,
        many_people_are_listed_each_once_and_found_by_their_numbers,
        people_and_tokens_are_listed_oldest_first,
        what_is_revoked_or_blocked_elsewhere_is_known_at_once,
        a_cursor_from_elsewhere_is_refused,
        preferences_change_field_by_field,
        what_callers_send_along_is_kept_apart_and_bounded,
        marks_never_go_back,
    }
    schedules {
        a_schedule_comes_back_as_it_was_made,
        an_equal_schedule_is_not_doubled,
        a_person_has_so_many_at_most_and_numbers_are_never_used_again,
        changes_are_partial_and_made_to_what_was_read,
        what_is_due_is_found_for_everybody_the_longest_due_first,
        a_reminder_is_an_entry_and_a_text,
        a_reminder_takes_its_place_behind_a_turn_that_runs_and_is_texted_at_once,
        a_question_is_a_turn_like_any_other,
        of_many_processes_one_fires,
        whoever_opted_out_or_is_blocked_gets_nothing,
        how_a_run_ended_is_read_from_what_it_made,
        without_a_way_to_a_phone_the_run_is_stored,
        an_extra_run_leaves_the_plan_as_it_is,
        a_run_finds_its_conversation,
        another_persons_schedules_are_out_of_reach,
        what_reminders_cost_is_taken_from_the_balance,
        a_reminder_that_cannot_be_paid_is_not_sent,
        reminders_are_turns_of_the_day,
        what_had_finished_begins_again_only_where_there_is_room,
    }
    todos {
        an_item_comes_back_as_it_was_written,
        a_number_is_never_used_again,
        an_equal_open_item_is_returned_and_not_doubled,
        sixteen_at_once_write_an_equal_item_once_and_different_ones_each,
        a_full_list_refuses_and_a_deletion_makes_room,
        an_item_changes_field_by_field,
        an_item_takes_its_parts_along,
        items_are_listed_by_all_that_is_asked,
        the_mean_is_of_whole_seconds_of_what_is_done,
        an_import_keeps_times_and_parts_and_a_repeat_adds_nothing,
        another_persons_numbers_give_nothing,
        whatever_two_people_do_their_lists_are_those_of_a_simple_model,
    }
    summaries {
        a_summary_only_moves_forward_and_is_paid_for_once,
        one_of_several_makes_a_summary,
        what_a_process_that_stops_leaves_unmade_is_taken_up_again,
        summaries_never_take_more_than_there_is,
        who_lost_a_summarys_claim_gives_nothing_back,
        what_a_summary_is_made_of_is_what_a_prompt_recalls,
        a_summary_belongs_to_one_conversation_of_one_person_and_goes_with_it,
    }
    steps {
        steps_come_back_as_far_as_they_were_recorded,
        what_is_recorded_twice_stays_as_it_was_first,
        who_lost_the_lease_records_no_step,
        steps_are_their_persons_and_go_with_the_conversation,
    }
    turns {
        a_turn_is_leased_answered_and_over,
        a_lease_that_ran_out_is_taken_over_and_its_holder_writes_nothing,
        one_person_is_answered_in_order_and_people_in_parallel,
        what_a_process_left_due_itself_is_leased_by_it_once,
        two_processes_lease_each_turn_once,
        a_turn_that_waits_for_another_attempt_holds_up_those_behind_it,
        a_renewed_lease_holds_and_a_released_owner_has_none,
        only_what_is_worked_on_is_renewed,
        failures_and_silent_ends_are_counted_apart,
        turns_without_a_model_are_ended_on_the_way,
        what_a_prompt_recalls_stands_before_the_turn,
        a_prompt_recalls_only_what_was_for_a_model,
        daily_limits_count_turns_that_begin,
    }
    two_pollers {
        two_processes_fire_each_of_a_thousand_runs_once,
    }
}

#[test]
fn every_backend_of_the_build_is_tested() {
    assert_eq!(TESTED, scrubjay::store::BACKENDS);
}
