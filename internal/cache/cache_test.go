package cache_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/claviger/kms/internal/cache"
)

func TestCache(t *testing.T) {
	c := cache.New[string, int](4)
	if _, ok := c.Get("a"); ok {
		t.Error("an empty cache has a value")
	}
	c.Put("a", 1)
	c.Put("a", 2)
	if v, ok := c.Get("a"); !ok || v != 2 || c.Len() != 1 {
		t.Errorf("a = %d, %v; %d entries", v, ok, c.Len())
	}
	if v, loaded := c.GetOrAdd("a", 3); v != 2 || !loaded {
		t.Errorf("GetOrAdd of a = %d, %v", v, loaded)
	}
	if v, loaded := c.GetOrAdd("b", 3); v != 3 || loaded {
		t.Errorf("GetOrAdd of b = %d, %v", v, loaded)
	}
	c.Delete("a")
	c.Delete("a")
	if _, ok := c.Get("a"); ok || c.Len() != 1 {
		t.Error("a is still there")
	}
	c.Clear()
	if _, ok := c.Get("b"); ok || c.Len() != 0 {
		t.Error("b is still there")
	}
}

func TestSecondChance(t *testing.T) {
	c := cache.New[int, int](3)
	for i := range 3 {
		c.Put(i, i)
	}
	c.Get(0)
	c.Put(3, 3) // 0 was read and stays; 1 was not
	if _, ok := c.Get(1); ok {
		t.Error("1 was not read, and is still there")
	}
	for _, k := range []int{0, 2, 3} {
		if v, ok := c.Get(k); !ok || v != k {
			t.Errorf("%d = %d, %v", k, v, ok)
		}
	}
	c.Put(4, 4) // all were read: one of them goes all the same
	if c.Len() != 3 {
		t.Errorf("%d entries, want 3", c.Len())
	}
}

// TestAgainstAMap: vault#5746: a cache that was never emptied. This one holds no more than its bound.
func TestAgainstAMap(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, limit := range []int{0, 1, 7, 64} {
		c := cache.New[int, int](limit)
		model := map[int]int{}
		for range 20_000 {
			k, v := rnd.IntN(100), rnd.Int()
			switch rnd.IntN(4) {
			case 0:
				c.Put(k, v)
				model[k] = v
			case 1:
				c.Delete(k)
				delete(model, k)
			case 2:
				if actual, loaded := c.GetOrAdd(k, v); !loaded {
					model[k] = v
				} else if actual != model[k] {
					t.Fatalf("limit %d: GetOrAdd(%d) = %d, want %d", limit, k, actual, model[k])
				}
			default:
				if got, ok := c.Get(k); ok && got != model[k] {
					t.Fatalf("limit %d: %d = %d, want %d", limit, k, got, model[k])
				}
			}
			if c.Len() > max(limit, 1) {
				t.Fatalf("limit %d: %d entries", limit, c.Len())
			}
		}
	}
}

func TestConcurrent(t *testing.T) {
	c := cache.New[string, string](32)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(g), 0))
			for range 5000 {
				k := fmt.Sprint(rnd.IntN(64))
				switch rnd.IntN(6) {
				case 0:
					c.Put(k, k)
				case 1:
					c.Delete(k)
				case 2:
					c.GetOrAdd(k, k)
				default:
					if v, ok := c.Get(k); ok && v != k {
						t.Errorf("%s = %s", k, v)
					}
				}
			}
		})
	}
	wg.Wait()
}

// TestRemovedBeforeSuccessor: whoever finds another value for a key finds the one before it told, however that left the cache, and there are never more entries than
// the limit. The caches are so small that nearly every entry makes another one go.
func TestRemovedBeforeSuccessor(t *testing.T) {
	type value struct {
		key  int
		told atomic.Bool
	}
	for _, limit := range []int{1, 2, 5} {
		c := cache.New[int, *value](limit).OnRemove(func(v *value) {
			runtime.Gosched() // for others to look meanwhile
			v.told.Store(true)
		})
		var successors atomic.Int64
		var wg sync.WaitGroup
		for g := range 8 {
			wg.Go(func() {
				rnd := rand.New(rand.NewPCG(uint64(g), 0))
				var last [8]*value
				for range 20_000 {
					k := rnd.IntN(len(last))
					var v *value
					switch rnd.IntN(40) {
					case 0:
						c.Clear()
					case 1, 2:
						c.Delete(k)
					case 3, 4, 5, 6, 7, 8, 9, 10:
						c.Put(k, &value{key: k})
					case 11, 12, 13, 14:
						v, _ = c.GetOrAdd(k, &value{key: k})
					case 15:
						if n := c.Len(); n > limit {
							t.Errorf("%d entries, want at most %d", n, limit)
							return
						}
					default:
						v, _ = c.Get(k)
					}
					if v == nil || v == last[k] {
						continue
					}
					if v.key != k {
						t.Errorf("%d has the value of %d", k, v.key)
						return
					}
					if last[k] != nil {
						successors.Add(1)
						if !last[k].told.Load() {
							t.Errorf("limit %d: another value was found before the last one was told", limit)
							return
						}
					}
					last[k] = v
				}
			})
		}
		wg.Wait()
		if successors.Load() < 1000 {
			t.Errorf("limit %d: only %d successors were seen", limit, successors.Load())
		}
	}
}

func TestGetAllocatesNothing(t *testing.T) {
	type key struct {
		b [17]byte
		s string
	}
	c := cache.New[key, *int](8)
	k := key{b: [17]byte{1}, s: "x"}
	c.Put(k, new(int))
	if n := testing.AllocsPerRun(100, func() { c.Get(k) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestOnRemove(t *testing.T) {
	var removed []int
	c := cache.New[string, int](2).OnRemove(func(v int) { removed = append(removed, v) })
	c.Put("a", 1)
	c.Put("a", 2)
	c.Put("b", 3)
	c.Put("c", 4) // evicts a or b
	c.Delete("c")
	c.Delete("c")
	c.Clear()
	slices.Sort(removed)
	if !slices.Equal(removed, []int{1, 2, 3, 4}) {
		t.Errorf("removed %v", removed)
	}
}

// What nobody reads makes room in the order in which it came.
func TestOldestMakesRoom(t *testing.T) {
	var removed []int
	c := cache.New[int, int](8).OnRemove(func(v int) { removed = append(removed, v) })
	for n := range 40 {
		c.Put(n, n)
	}
	for i, n := range removed {
		if i != n {
			t.Fatalf("removed %v", removed)
		}
	}
	if len(removed) != 32 {
		t.Errorf("removed %d, want 32", len(removed))
	}
}

// A few keys that are read in turn are all found, however many others have filled the cache before.
func TestFewAmongMany(t *testing.T) {
	c := cache.New[int, int](100)
	for n := range 1000 {
		c.GetOrAdd(n, n)
		c.Get(n)
	}
	missed := 0
	for i := range 100 {
		if _, ok := c.Get(-1 - i%10); !ok {
			c.Put(-1-i%10, i)
			missed++
		}
	}
	if missed != 10 {
		t.Errorf("ten keys were missed %d times", missed)
	}
}

// BenchmarkGet looks up one key, and a thousand in turn, in a full cache, on one goroutine and on all processors.
func BenchmarkGet(b *testing.B) {
	type key [16]byte
	const limit = 10_000
	c := cache.New[key, *int](limit)
	keys := make([]key, limit)
	for i := range keys {
		binary.LittleEndian.PutUint64(keys[i][:], uint64(i))
		c.Put(keys[i], new(int))
	}
	for _, many := range []int{1, 1000} {
		b.Run(fmt.Sprint(many), func(b *testing.B) {
			i := 0
			for b.Loop() {
				c.Get(keys[i%many])
				i++
			}
		})
		b.Run(fmt.Sprint(many, "parallel"), func(b *testing.B) {
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					c.Get(keys[i%many])
				}
			})
		})
	}
}
