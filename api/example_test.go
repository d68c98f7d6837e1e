package api_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/holdfast-kv/holdfast/api"
)

// What the environment says (HOLDFAST_HTTP_ADDR, CONSUL_HTTP_TOKEN and so on) holds
// for everything that no option sets.
func ExampleNew() {
	client, err := api.New(
		api.WithAddress("https://config.example.com:8501"),
		api.WithDatacenter("dc1"),
	)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(client.Address())
	// Output: https://config.example.com:8501
}

func ExampleKV_Get() {
	client, stop := startExample("app/motd", "hello")
	defer stop()
	ctx := context.Background()

	entry, _, err := client.KV().Get(ctx, "app/motd")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s = %s\n", entry.Key, entry.Value)

	_, _, err = client.KV().Get(ctx, "app/none")
	fmt.Println(errors.Is(err, api.ErrNotFound))
	// Output:
	// app/motd = hello
	// true
}

// A check-and-set that loses is not an error: somebody else has written in between,
// and the caller decides again with what is there now.
func ExampleKV_CAS() {
	client, stop := startExample("app/count", "1")
	defer stop()
	ctx := context.Background()
	kv := client.KV()

	for {
		entry, _, err := kv.Get(ctx, "app/count")
		if err != nil {
			log.Fatal(err)
		}
		next := append(entry.Value, '1')
		res, err := kv.CAS(ctx, "app/count", next, entry.ModifyIndex)
		if err != nil {
			log.Fatal(err)
		}
		if res.Applied {
			fmt.Printf("%s\n", next)
			break
		}
	}
	// Output: 11
}

func ExampleKV_List() {
	client, stop := startExample("app/a", "1", "app/b", "2", "other", "3")
	defer stop()

	entries, _, err := client.KV().List(context.Background(), "app/")
	if err != nil {
		log.Fatal(err)
	}
	for _, e := range entries {
		fmt.Printf("%s = %s\n", e.Key, e.Value)
	}
	// Output:
	// app/a = 1
	// app/b = 2
}

func ExampleKV_All() {
	client, stop := startExample("app/a", "1", "app/b", "2")
	defer stop()

	for entry, err := range client.KV().All(context.Background(), "app/", 1000) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(entry.Key)
	}
	// Output:
	// app/a
	// app/b
}

// Both keys are written, or none of them.
func ExampleClient_Txn() {
	client, stop := startExample()
	defer stop()
	ctx := context.Background()
	ops := []api.TxnOp{
		{Verb: api.VerbCheckNotExists, Key: "db/leader"},
		{Verb: api.VerbSet, Key: "db/leader", Value: []byte("node-1")},
		{Verb: api.VerbSet, Key: "db/since", Value: []byte("today")},
	}
	for range 2 {
		res, err := client.Txn(ctx, ops, api.Reason("first start"))
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(res.Applied, res.Err())
	}
	// Output:
	// true <nil>
	// false transaction rolled back: operation 0: key "db/leader" exists
}

// The first event is what is there; each later one is a real change. Ending the
// context ends the watch.
func ExampleClient_WatchPrefix() {
	client, stop := startExample("app/a", "1")
	defer stop()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	for ev, err := range client.WatchPrefix("app/").Events(ctx) {
		if err != nil {
			fmt.Println("ended:", errors.Is(err, context.Canceled))
			break
		}
		for _, e := range ev.Changed {
			fmt.Printf("%s is now %s\n", e.Key, e.Value)
		}
		if len(ev.Entries) == 2 {
			cancel()
			continue
		}
		if _, err := client.KV().Put(ctx, "app/b", []byte("2")); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// app/a is now 1
	// app/b is now 2
	// ended: true
}

// The job runs on one machine at a time. When the lock is lost, its context ends.
func ExampleClient_Lock() {
	client, err := api.New()
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	hold, err := client.Lock("jobs/nightly/.lock", api.SessionName("nightly on "+client.Address())).Acquire(ctx)
	if err != nil {
		log.Fatal(err)
	}
	work := func(ctx context.Context) error {
		_, err := client.KV().Put(ctx, "jobs/nightly/done", []byte("yes"), api.Fence(hold.Key(), hold.Fence()))
		return err
	}
	err = work(hold.Context())
	if err := errors.Join(err, hold.Release(ctx)); err != nil {
		log.Fatal(err)
	}
}

// The key disappears when the program ends, however it ends.
func ExampleClient_EphemeralKey() {
	client, err := api.New()
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	member, err := client.EphemeralKey(ctx, "members/web-1", []byte("10.0.0.7:80"))
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = member.Close(ctx) }()
}

// A follower that is asked for a stale read waits until it has seen the write.
func ExampleMinIndex() {
	client, stop := startExample()
	defer stop()
	ctx := context.Background()

	res, err := client.KV().Put(ctx, "app/motd", []byte("hello"))
	if err != nil {
		log.Fatal(err)
	}
	entry, _, err := client.KV().Get(ctx, "app/motd", api.Stale(), api.MinIndex(res.Index))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", entry.Value)
	// Output: hello
}

func ExampleKV_History() {
	client, err := api.New()
	if err != nil {
		log.Fatal(err)
	}
	changes, _, err := client.KV().History(context.Background(), "app/motd", 10)
	if err != nil {
		log.Fatal(err)
	}
	for _, ch := range changes {
		fmt.Println(ch.Index, ch.Time, ch.Op, ch.Reason)
	}
}

func ExampleSnapshot_Save() {
	client, err := api.New()
	if err != nil {
		log.Fatal(err)
	}
	f, err := os.OpenFile("backup.snap", os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		log.Fatal(err)
	}
	info, err := client.Snapshot().Save(context.Background(), f)
	if err := errors.Join(err, f.Close()); err != nil {
		log.Fatal(err)
	}
	fmt.Println("saved to index", info.Index)
}
